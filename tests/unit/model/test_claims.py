"""Claims and run tokens, on fakes."""

import json
from datetime import timedelta

import pytest

from automesh.core.errors import PermissionDenied, ValidationError
from services.model.convert.training import claimed as claim_message
from services.model.domain.runs.claims import Claimant
from services.model.domain.runs.errors import (
    GpuElsewhere,
    NoGpu,
    RunNotLive,
    RunTokenStale,
    TaskNotOfRun,
)
from services.model.domain.runs.reporting import Batch, Outcome
from services.model.domain.runs.run import RunState
from services.model.fakes.neighbours import FakeLeaseLost
from services.model.fakes.training_house import NOBODY, SPEC, TENANT, TrainingHouse


async def test_a_claim_tells_what_is_to_be_done(house: TrainingHouse) -> None:
    claimed = await house.running()
    message = claim_message(claimed, silence_limit=timedelta(seconds=120))
    job = json.loads(message.job)
    assert (message.run_id, message.data_id, message.data_version) == (claimed.run.run_id, "data_sunspots", 3)
    assert (job["data"], job["checkpoint"], job["device"]) == ("data/manifest.json", None, "cpu")
    assert job["spec"]["optimization"]["epochs"] == 9
    assert (message.processes, message.threads, message.engine) == (1, 1, "")
    assert not message.HasField("rendezvous")
    assert (claimed.run.state, claimed.run.claims) == (RunState.RUNNING, 1)


async def test_a_lost_lease_claims_nothing(house: TrainingHouse) -> None:
    run = await house.start()
    lease = house.queue.lease(run.task_id)
    house.queue.lease(run.task_id)  # given on
    with pytest.raises(FakeLeaseLost):
        await house.desk.claim(lease, NOBODY)


async def test_an_agent_of_another_tenant_claims_nothing(house: TrainingHouse) -> None:
    run = await house.start()
    lease = house.queue.lease(run.task_id)
    with pytest.raises(PermissionDenied):
        await house.desk.claim(lease, Claimant(tenant_id="globex", host="", gpus=0))
    assert (await house.desk.claim(lease, Claimant(tenant_id=TENANT, host="", gpus=0))).token


async def test_only_tasks_of_trainings_are_claimed(house: TrainingHouse) -> None:
    task_id = house.queue.ask(SPEC, tenant_id=TENANT, subject="user_1")
    object.__setattr__(house.queue.tasks[task_id].new, "type", "noop")
    with pytest.raises(ValidationError, match="'noop'"):
        await house.desk.claim(house.queue.lease(task_id), NOBODY)


async def test_a_bare_spec_makes_its_run_once_however_often_it_is_claimed(house: TrainingHouse) -> None:
    task_id = house.queue.ask(SPEC, tenant_id=TENANT, subject="user_7")
    first = await house.desk.claim(house.queue.lease(task_id), NOBODY)
    second = await house.desk.claim(house.queue.lease(task_id), NOBODY)
    assert first.run.run_id == second.run.run_id
    assert (second.run.created_by, second.run.task_id, second.run.claims) == ("user_7", task_id, 2)
    assert len(house.queue.tasks) == 1


@pytest.mark.parametrize("spec", [{"name": "x"}, {"name": "x", "data": {"data_id": "d"}, "epochz": 1}, {}])
async def test_a_bad_bare_spec_is_refused_with_the_field(house: TrainingHouse, spec: dict[str, object]) -> None:
    task_id = house.queue.ask(spec, tenant_id=TENANT, subject="user_1")
    with pytest.raises(ValidationError) as refused:
        await house.desk.claim(house.queue.lease(task_id), NOBODY)
    assert refused.value.violations[0].field.startswith("spec")
    assert house.store.runs == {}


async def test_a_task_claimed_before_its_run_knows_of_it_is_taken_up(house: TrainingHouse) -> None:
    run = await house.start()
    await house.store.change(TENANT, run.run_id, lambda run, _: run.expecting(1))
    claimed = await house.desk.claim(house.queue.lease(run.task_id), NOBODY)
    assert claimed.run.task_id == run.task_id


async def test_a_later_claim_makes_the_token_stale(house: TrainingHouse) -> None:
    first = await house.running()
    second = await house.claim(first.run)
    assert second.run.claims == 2
    with pytest.raises(RunTokenStale):
        await house.report(first.token, 1, 1)
    with pytest.raises(RunTokenStale):
        await house.upload(first.token, "a", b"a")
    with pytest.raises(RunTokenStale):
        await house.finish(first.token)
    assert await house.report(second.token, 1, 1) == 1


async def test_a_token_of_nobody_is_stale(house: TrainingHouse) -> None:
    for token in (b"", b"x" * 32):
        with pytest.raises(RunTokenStale):
            await house.report(token, 1, 1)


async def test_with_a_persons_token_only_runs_of_the_tenant_are_held(house: TrainingHouse) -> None:
    claimed = await house.running()
    with pytest.raises(PermissionDenied):
        await house.reporting.report(claimed.token, Batch(number=1), tenant_id="globex")
    await house.reporting.report(claimed.token, Batch(number=1), tenant_id=TENANT)


async def test_a_run_that_has_ended_is_not_taken_up(house: TrainingHouse) -> None:
    run = await house.start()
    lease = house.queue.lease(run.task_id)
    await house.trainings.cancel(TENANT, "user_1", run.run_id, "")
    house.queue.end(run.task_id, "RUNNING")  # the agent has not heard of it
    with pytest.raises(RunNotLive, match="CANCELLED"):
        await house.desk.claim(lease, NOBODY)


async def test_a_task_of_before_the_resumption_is_refused(house: TrainingHouse) -> None:
    run = await house.start()
    lease = house.queue.lease(run.task_id)
    await house.trainings.cancel(TENANT, "user_1", run.run_id, "")
    await house.trainings.resume(TENANT, run.run_id, 0)
    house.queue.end(run.task_id, "RUNNING")
    with pytest.raises(TaskNotOfRun):
        await house.desk.claim(lease, NOBODY)


async def test_a_finished_run_answers_its_result(house: TrainingHouse) -> None:
    claimed = await house.running()
    await house.finish(claimed.token)
    again = await house.claim(claimed.run)
    message = claim_message(again, silence_limit=timedelta(seconds=9))
    assert (message.finished, message.run_token) == (True, b"")
    assert message.result["model_version"] == 1


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (1, "cuda")])
async def test_auto_takes_a_gpu_where_there_is_one(house: TrainingHouse, gpus: int, device: str) -> None:
    assert (await house.claim(await house.start(), gpus=gpus)).device == device


async def test_a_gpu_run_on_an_agent_without_one_goes_elsewhere_or_fails(house: TrainingHouse) -> None:
    task_id = house.queue.ask({**SPEC, "resources": {"device": "DEVICE_CUDA"}}, tenant_id=TENANT, subject="u")
    with pytest.raises(NoGpu, match="this agent has 0"):
        await house.desk.claim(house.queue.lease(task_id), NOBODY)
    house.queue.gpu = True
    with pytest.raises(GpuElsewhere):
        await house.desk.claim(house.queue.lease(task_id), NOBODY)
    assert (await house.desk.claim(house.queue.lease(task_id), Claimant(tenant_id="", host="", gpus=1))).token


async def test_the_first_node_hosts_and_reports_for_all(house: TrainingHouse) -> None:
    run = await house.start(resources={"nodes": 2, "processes": 2})
    assert [each.task_id for each in run.tasks] == ["task_1", "task_2"]
    second = await house.claim(run, node=1, host="b")  # whichever comes first
    first = await house.claim(run, node=0, host="a")
    assert second.rendezvous is not None
    assert first.rendezvous is not None
    assert (second.rendezvous.here, first.rendezvous.here) == (True, False)
    assert first.rendezvous.endpoint == second.rendezvous.endpoint
    assert first.rendezvous.endpoint.startswith("b:")
    assert first.rendezvous.id == second.rendezvous.id
    assert await house.report(first.token, 1, 1) == 0  # heard, not recorded
    assert await house.report(second.token, 1, 1) == 1
    assert (await house.reporting.complete(first.token, Outcome(), tenant_id="")).state is RunState.RUNNING
    assert (await house.finish(second.token)).state is RunState.COMPLETED


async def test_a_bare_spec_for_two_nodes_gets_a_second_task(house: TrainingHouse) -> None:
    spec = {**SPEC, "resources": {"nodes": 2}}
    task_id = house.queue.ask(spec, tenant_id=TENANT, subject="u")
    claimed = await house.desk.claim(house.queue.lease(task_id), NOBODY)
    assert len(claimed.run.tasks) == 2
    assert (await house.claim(claimed.run, node=1)).rendezvous is not None
