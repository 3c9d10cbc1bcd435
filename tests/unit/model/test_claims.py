"""Claims, run tokens, checkpoints and the end of runs, on fakes."""

import json
import math
from datetime import timedelta

import pytest

from automesh.core.errors import PermissionDenied, Unavailable, ValidationError
from automesh.testing.blobs import FakeBlobStore
from services.model.convert.training import claimed as claim_message
from services.model.domain.runs.claims import Claimant, Claimed
from services.model.domain.runs.errors import (
    CheckpointDamaged,
    CheckpointIncomplete,
    FileNotInRun,
    GpuElsewhere,
    NoGpu,
    ResultIncomplete,
    RunNotLive,
    RunTokenStale,
    TaskNotOfRun,
)
from services.model.domain.runs.files import CheckpointFacts, FileFact
from services.model.domain.runs.progress import MetricPoint, RunProgress
from services.model.domain.runs.reporting import Batch, Outcome
from services.model.domain.runs.run import RunFailure, RunState
from services.model.fakes.neighbours import FakeLeaseLost
from services.model.fakes.training_house import SPEC, TENANT, TrainingHouse

NOBODY = Claimant(tenant_id="", host="box", gpus=0)


@pytest.fixture
def blobs() -> FakeBlobStore:
    return FakeBlobStore()


@pytest.fixture
def house(blobs: FakeBlobStore) -> TrainingHouse:
    return TrainingHouse(blobs)


# ---------------------------------------------------------------------- taking up
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


# ---------------------------------------------------------------------- devices and nodes
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


# ---------------------------------------------------------------------- points
async def test_a_batch_that_is_sent_again_is_recorded_once(house: TrainingHouse) -> None:
    claimed = await house.running()
    assert await house.report(claimed.token, 1, 1, 2) == 2
    assert await house.report(claimed.token, 1, 1, 2) == 2
    assert await house.report(claimed.token, 2, 3) == 3
    assert [each.sequence for each in house.store.recorded[claimed.run.run_id]] == [1, 2, 3]


async def test_steps_that_an_earlier_claim_recorded_are_not_recorded_again(house: TrainingHouse) -> None:
    first = await house.running()
    await house.report(first.token, 1, 1, 2, 3, 4)
    second = await house.claim(first.run)  # goes on from step 2
    assert await house.report(second.token, 1, 3, 4, 5) == 5
    steps = [each.step for each in house.store.recorded[first.run.run_id]]
    assert steps == [1, 2, 3, 4, 5]


async def test_best_and_time_left_are_reckoned_where_the_trainer_leaves_them_open(house: TrainingHouse) -> None:
    claimed = await house.running()

    async def say(batch: int, step: int, value: float) -> RunProgress:
        point = MetricPoint("val/loss", value, step, batch, house.time())
        told = Batch(number=batch, points=[point], progress=RunProgress(step=step, steps=100))
        await house.reporting.report(claimed.token, told, tenant_id="")
        return (await house.trainings.get(TENANT, claimed.run.run_id)).progress

    assert (await say(1, 10, 0.5)).eta is None
    house.time.advance(10)
    second = await say(2, 20, 0.25)
    assert second.eta == timedelta(seconds=80)
    await say(3, 30, math.nan)
    last = await say(4, 40, 0.75)
    assert last.best is not None
    assert (last.best.value, last.best.step, last.best.epoch) == (0.25, 20, 2)


@pytest.mark.parametrize("point", [("", 1), ("x" * 201, 1), ("loss", -1)])
async def test_points_that_make_no_sense_are_refused(house: TrainingHouse, point: tuple[str, int]) -> None:
    claimed = await house.running()
    name, step = point
    bad = MetricPoint(name, 0.0, step, 1, house.time())
    with pytest.raises(ValidationError):
        await house.reporting.report(claimed.token, Batch(number=1, points=[bad]), tenant_id="")


# ---------------------------------------------------------------------- checkpoints
async def test_the_next_claim_goes_on_from_the_last_checkpoint(house: TrainingHouse) -> None:
    first = await house.running()
    for step in (10, 20):
        await house.checkpoint(first.token, step)
    second = await house.claim(first.run)
    assert second.checkpoint is not None
    assert second.checkpoint.step == 20
    assert json.loads(claim_message(second, silence_limit=timedelta(seconds=9)).job)["checkpoint"] == "checkpoint"
    assert await house.read(second.token, "state.json") == b"weightsstate.json"
    with pytest.raises(FileNotInRun):
        await house.read(second.token, "other.json")


async def test_the_last_ones_and_the_best_are_kept_and_other_blobs_let_go(
    house: TrainingHouse, blobs: FakeBlobStore
) -> None:
    claimed = await house.running()
    for step in (1, 2, 3, 4):
        await house.checkpoint(claimed.token, step, best=step == 2)
    run = await house.checkpoint(claimed.token, 5)
    assert [each.step for each in run.checkpoints] == [2, 4, 5]
    assert run.checkpoint_step == 5
    kept = {file.blob for each in run.checkpoints for file in each.files}
    assert set(blobs.blobs) - set(house.store.discarded) == kept
    assert len(house.store.discarded) == 4


async def test_a_checkpoint_counts_only_when_it_is_whole(house: TrainingHouse) -> None:
    claimed = await house.running()
    stored = await house.upload(claimed.token, "checkpoints/000001/a", b"a")
    there = FileFact("a", stored.size, stored.sha256)
    for files in ([there, FileFact("b", 1, "0" * 64)], [FileFact("a", 2, stored.sha256)]):
        told = CheckpointFacts(step=1, folder="checkpoints/000001", files=files)
        with pytest.raises(CheckpointIncomplete, match="checkpoints/000001/"):
            await house.files.commit(claimed.token, told, tenant_id="")
    assert (await house.trainings.get(TENANT, claimed.run.run_id)).checkpoint_step == -1
    for _ in range(2):  # said again it stays one
        told = CheckpointFacts(step=1, folder="checkpoints/000001", files=[there])
        run = await house.files.commit(claimed.token, told, tenant_id="")
        assert (run.checkpoint_step, len(run.checkpoints)) == (1, 1)


async def test_files_of_a_claim_that_was_given_up_are_let_go(house: TrainingHouse) -> None:
    first = await house.running()
    file = await house.upload(first.token, "checkpoints/000001/a", b"a")
    await house.claim(first.run)
    assert file.blob in house.store.discarded


async def damaged(house: TrainingHouse) -> Claimed:
    first = await house.running()
    for step in (10, 20):
        await house.checkpoint(first.token, step)
    return await house.claim(first.run)


async def test_an_attempt_that_found_its_checkpoint_damaged_makes_the_next_use_the_one_before(
    house: TrainingHouse,
) -> None:
    second = await damaged(house)
    house.queue.end(second.run.task_id, "SCHEDULED", "CHECKPOINT_DAMAGED")
    third = await house.claim(second.run)
    assert third.checkpoint is not None
    assert third.checkpoint.step == 10


async def test_a_trainer_that_reports_a_damaged_checkpoint_gets_a_new_task(house: TrainingHouse) -> None:
    second = await damaged(house)
    failure = RunFailure("CHECKPOINT_DAMAGED", "state.json is cut")
    run = await house.reporting.fail(second.token, failure, tenant_id="")
    assert (run.state, run.failure, run.task_id) == (RunState.QUEUED, None, "task_2")
    third = await house.claim(run)
    assert third.checkpoint is not None
    assert third.checkpoint.step == 10


async def test_a_checkpoint_whose_blobs_are_gone_is_passed_over(house: TrainingHouse, blobs: FakeBlobStore) -> None:
    second = await damaged(house)
    assert second.checkpoint is not None
    blobs.blobs.pop(second.checkpoint.files[0].blob)
    with pytest.raises(CheckpointDamaged):
        await house.read(second.token, second.checkpoint.files[0].name)
    third = await house.claim(second.run)
    assert third.checkpoint is not None
    assert third.checkpoint.step == 10
    run = await house.checkpoint(third.token, 30)
    assert [each.step for each in run.checkpoints] == [10, 30]


async def test_a_cancelled_run_may_still_leave_its_last_checkpoint(house: TrainingHouse) -> None:
    claimed = await house.running()
    await house.trainings.cancel(TENANT, "user_1", claimed.run.run_id, "")
    with pytest.raises(RunTokenStale):
        await house.report(claimed.token, 1, 1)
    assert (await house.checkpoint(claimed.token, 7)).checkpoint_step == 7
    again = await house.claim(await house.trainings.resume(TENANT, claimed.run.run_id, 0))
    assert again.checkpoint is not None
    assert again.checkpoint.step == 7


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a\0b", "x" * 400])
async def test_names_that_are_no_plain_paths_are_refused(house: TrainingHouse, name: str) -> None:
    claimed = await house.running()
    with pytest.raises(ValidationError):
        await house.upload(claimed.token, name, b"a")


async def test_a_file_that_is_too_large_is_refused_and_nothing_kept(house: TrainingHouse, blobs: FakeBlobStore) -> None:
    claimed = await house.running()
    house.files._max_bytes = 3
    with pytest.raises(ValidationError, match="at most 3 bytes"):
        await house.upload(claimed.token, "a", b"four")
    assert blobs.blobs == {}


# ---------------------------------------------------------------------- the end
async def test_finishing_registers_a_version_and_completes_once(house: TrainingHouse) -> None:
    claimed = await house.running(aliases=["candidate"])
    await house.checkpoint(claimed.token, 5)
    run = await house.finish(claimed.token, **{"val/loss": 0.25, "test/mae": math.nan})
    assert (run.state, run.model_version, run.checkpoints) == (RunState.COMPLETED, 1, ())
    version = house.registry.versions[run.run_id]
    assert [each.name for each in version.files] == ["model.safetensors"]
    assert (version.data_id, version.data_version, version.size) == ("data_sunspots", 3, 7)
    assert house.registry.asked == [("candidate",)]
    assert house.datasets.dependents == [("data_sunspots", 3, run.model_id, 1)]
    again = await house.reporting.complete(claimed.token, Outcome(), tenant_id="")
    assert again.model_version == 1
    assert len(house.registry.versions) == 1


async def test_a_crash_between_version_and_completion_makes_no_second_version(house: TrainingHouse) -> None:
    claimed = await house.running()
    change = house.store.change

    async def dies(*_: object) -> object:
        raise Unavailable("killed")

    await house.upload(claimed.token, "model/model.safetensors", b"trained")
    outcome = Outcome(files=("model/model.safetensors",))
    house.store.change = dies  # type: ignore[method-assign,assignment] # until it is put back
    with pytest.raises(Unavailable):
        await house.reporting.complete(claimed.token, outcome, tenant_id="")
    house.store.change = change  # type: ignore[method-assign] # as it was
    assert len(house.registry.versions) == 1
    second = await house.claim(claimed.run)  # another attempt finds it done
    assert second.finished
    assert (second.run.model_version, second.run.files.keys()) == (1, {"model/model.safetensors"})
    assert not {each.blob for each in house.registry.versions[second.run.run_id].files} & house.store.discarded.keys()
    assert len(house.registry.versions) == 1


async def test_a_new_claim_lets_go_of_what_an_earlier_one_stored(house: TrainingHouse) -> None:
    claimed = await house.running()
    stored = await house.upload(claimed.token, "model/model.safetensors", b"trained")
    second = await house.claim(claimed.run)
    assert second.run.files == {}
    assert house.store.discarded[stored.blob] <= house.time()


async def test_a_result_must_name_stored_files(house: TrainingHouse) -> None:
    claimed = await house.running()
    await house.upload(claimed.token, "model/model.onnx", b"graph")
    for files in (("model/model.safetensors",), ("model/model.onnx",), ("checkpoints/x",), ()):
        with pytest.raises(ResultIncomplete):
            await house.reporting.complete(claimed.token, Outcome(files=files), tenant_id="")
    assert (await house.trainings.get(TENANT, claimed.run.run_id)).state is RunState.RUNNING


async def test_a_failure_ends_the_run_and_it_can_be_resumed(house: TrainingHouse) -> None:
    claimed = await house.running()
    await house.checkpoint(claimed.token, 5)
    failure = RunFailure("TRAINING_DIVERGED", "the loss is NaN since step 6")
    run = await house.reporting.fail(claimed.token, failure, tenant_id="")
    assert (run.state, run.failure) == (RunState.FAILED, failure)
    again = await house.claim(await house.trainings.resume(TENANT, run.run_id, 0))
    assert again.checkpoint is not None
    assert again.run.failure is None
