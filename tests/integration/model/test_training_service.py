"""Runs over mutual TLS on a real PostgreSQL: from the request to the version, refusals, sweeps."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from automesh.core.errors import Unavailable
from automesh.model.v1 import run_pb2, training_service_pb2
from automesh.model.v1 import run_service_pb2 as pb
from automesh.model.v1 import training_service_pb2_grpc as training_rpc
from automesh.storage.postgres import ENGINE, Database
from services.model.domain.registry.version import NewVersion
from services.model.domain.runs.claims import digest
from services.model.domain.runs.errors import RunTokenStale
from services.model.store.versions import SqlModelStore
from tests.integration.model.training_stand import (
    LIMIT_S,
    PERSON,
    Replica,
    Stand,
    next_update,
    running,
    start_request,
    steps,
    updates,
)

pytestmark = pytest.mark.postgres


# ---------------------------------------------------------------------- from the start to the version
async def test_a_run_from_the_request_to_the_version(stand: Stand, replica: Replica) -> None:
    people = await replica.runs()
    started = await people.StartTraining(start_request("r1"))
    assert (await people.StartTraining(start_request("r1"))) == started
    run = (await people.GetRun(pb.GetRunRequest(run_id=started.run_id))).run
    assert (run.state, run.task_id, run.spec.data.version) == (run_pb2.RUN_STATE_QUEUED, started.task_id, 3)
    assert run.checkpoint_step == -1
    agent = await replica.agent()
    claim = await agent.claim(stand.queue.lease(started.task_id))
    assert json.loads(claim.job)["spec"]["name"] == "sunspots"
    assert await agent.report([1, 2, 3]) == 3
    content = bytes(range(256)) * 20
    await agent.checkpoint(3, content)
    agent = await replica.agent()  # another attempt goes on from there
    claim = await agent.claim(stand.queue.lease(started.task_id))
    assert [file.name for file in claim.checkpoint] == ["state.json"]
    assert await agent.fetch("state.json") == content
    assert await agent.report([3, 4]) == 4
    finished = await agent.finish()
    assert dict(finished.result)["model_version"] == 1
    assert finished.run.state == run_pb2.RUN_STATE_COMPLETED
    assert (await agent.finish_again()).result == finished.result
    points = await people.ListMetrics(pb.ListMetricsRequest(run_id=started.run_id, page_size=3))
    assert ([point.step for point in points.points], points.next_sequence) == ([1, 2, 3], 3)
    listed = await people.ListRuns(pb.ListRunsRequest(model_id=started.model_id))
    assert [each.run_id for each in listed.runs] == [started.run_id]
    assert listed.runs[0].metrics["val/loss"] == 0.25
    assert stand.datasets.dependents == [("data_sunspots", 3, started.model_id, 1)]


async def test_a_version_survives_a_crash_before_its_run_is_completed(
    stand: Stand, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, agent = await running(stand, replica)
    store = replica.engine.store

    async def dies(*_: object) -> object:
        raise Unavailable("killed")

    await agent.store("model/model.safetensors", b"trained")
    with monkeypatch.context() as patch:
        patch.setattr(store, "change", dies)
        with pytest.raises(grpc.aio.AioRpcError):
            await agent.finish_again()
    late = await replica.agent()
    claim = await late.claim(stand.queue.lease("task_1"))
    assert (claim.finished, dict(claim.result)["model_version"]) == (True, 1)
    run = await store.get("default", run_id)
    async with Database.open(stand.dsn, schema="model") as database:
        version = await SqlModelStore(database).version_of_run("default", run_id)
        assert version is not None
        assert {file.blob for file in version.content.files} == {file.blob for file in run.files.values()}
        assert await database.fetch("SELECT blob FROM discarded_blob", tenant=ENGINE) == []


async def test_no_version_is_registered_under_a_token_that_is_stale(stand: Stand, replica: Replica) -> None:
    run_id, agent = await running(stand, replica)
    await (await replica.agent()).claim(stand.queue.lease("task_1"))
    content = NewVersion(metrics={}, signature={}, size=1, parameters=1, digest="0" * 64, files=(), spec={})
    run = await replica.engine.store.get("default", run_id)
    async with Database.open(stand.dsn, schema="model") as database:
        with pytest.raises(RunTokenStale):
            await SqlModelStore(database).add_version(
                "default", run.model_id, run_id, content, (), holder=digest(agent.token)
            )


async def test_train_model_streams_from_the_ids_to_the_end(stand: Stand, replica: Replica) -> None:
    people = await replica.runs()
    call = people.TrainModel(pb.TrainModelRequest(spec=start_request().spec))
    first = await next_update(call)
    assert first.run_id
    assert first.model_id
    assert first.state == run_pb2.RUN_STATE_QUEUED
    agent = await replica.agent()
    await agent.claim(stand.queue.lease("task_1"))
    await agent.report([1, 2])
    await agent.finish()
    rest = await updates(call)
    assert steps(rest) == [1, 2]
    assert (rest[-1].state, rest[-1].model_version) == (run_pb2.RUN_STATE_COMPLETED, 1)


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"optimization": {"epochs": -1}}, grpc.StatusCode.INVALID_ARGUMENT, "spec.optimization.epochs"),
        ({"data": {"data_id": "data_moon", "targets": ["a"]}}, grpc.StatusCode.NOT_FOUND, "data_moon"),
        ({"resources": {"device": "DEVICE_CUDA"}}, grpc.StatusCode.FAILED_PRECONDITION, "no agent with a GPU"),
        ({"model_id": "model_of_nobody"}, grpc.StatusCode.NOT_FOUND, "model_of_nobody"),
    ],
)
async def test_what_cannot_be_trained_is_refused_in_words(
    replica: Replica, changes: dict[str, Any], code: grpc.StatusCode, told: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await (await replica.runs()).StartTraining(start_request(**changes))
    assert refused.value.code() is code
    assert told in str(refused.value.details())


async def test_who_may_do_what_is_held(stand: Stand, replica: Replica) -> None:
    run_id, agent = await running(stand, replica)
    reader, stranger = await replica.runs("model.read"), await replica.runs(tenant_id="globex")
    person_as_agent = training_rpc.TrainingServiceStub(await replica.mesh.signed_in(PERSON))
    for call, code in (
        (reader.StartTraining(start_request()), grpc.StatusCode.PERMISSION_DENIED),
        (reader.CancelRun(pb.CancelRunRequest(run_id=run_id)), grpc.StatusCode.PERMISSION_DENIED),
        (stranger.GetRun(pb.GetRunRequest(run_id=run_id)), grpc.StatusCode.NOT_FOUND),
        (stranger.CancelRun(pb.CancelRunRequest(run_id=run_id)), grpc.StatusCode.NOT_FOUND),
        (
            person_as_agent.ReportProgress(training_service_pb2.ReportProgressRequest(run_token=agent.token, batch=1)),
            grpc.StatusCode.PERMISSION_DENIED,
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is code
    lessee = training_rpc.TrainingServiceStub(await replica.mesh.signed_in(["work.lease"], tenant_id="globex"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lessee.ReportProgress(training_service_pb2.ReportProgressRequest(run_token=agent.token, batch=1))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_stale_token_is_aborted(stand: Stand, replica: Replica) -> None:
    run_id, old = await running(stand, replica)
    run = (await (await replica.runs()).GetRun(pb.GetRunRequest(run_id=run_id))).run
    new = await replica.agent()
    await new.claim(stand.queue.lease(run.task_id))
    for attempt in (old.report([1]), old.store("a", b"a"), old.finish()):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await attempt
        assert refused.value.code() is grpc.StatusCode.ABORTED
    assert await new.report([1]) == 1


async def test_a_run_follows_a_task_that_failed(stand: Stand, replica: Replica) -> None:
    run_id, _ = await running(stand, replica)
    stand.queue.end("task_1", "FAILED", "PROGRAM_DIED", "out of memory?")
    seen = await updates((await replica.runs()).WatchTraining(pb.WatchTrainingRequest(run_id=run_id)))
    assert (seen[-1].state, seen[-1].failure.reason) == (run_pb2.RUN_STATE_FAILED, "PROGRAM_DIED")


# ---------------------------------------------------------------------- sweeps
async def test_a_sweep_runs_to_its_end_with_two_replicas(stand: Stand) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(stand.replica("first"))
        await stack.enter_async_context(stand.replica("second"))
        people = await first.runs()
        request = pb.StartSweepRequest(spec=start_request().spec, max_parallel=2)
        request.parameters.add(path="optimization.learning_rate", values=["0.1", "0.2", "0.3", "0.4"])
        sweep = (await people.StartSweep(request)).sweep
        assert (sweep.waiting, sweep.state) == (4, run_pb2.RUN_STATE_RUNNING)
        done: set[str] = set()
        async with asyncio.timeout(LIMIT_S):
            while sweep.state == run_pb2.RUN_STATE_RUNNING:
                sweep = (await people.GetSweep(pb.GetSweepRequest(sweep_id=sweep.sweep_id))).sweep
                live = [task_id for task_id, task in stand.queue.tasks.items() if task.status == "SCHEDULED"]
                assert len(live) <= 2
                for task_id in set(live) - done:
                    done.add(task_id)
                    agent = await first.agent()
                    await agent.claim(stand.queue.lease(task_id))
                    await agent.finish()
                await asyncio.sleep(0.02)  # nobody announces how a sweep gets on: whoever wants to know asks again
        assert sweep.state == run_pb2.RUN_STATE_COMPLETED
        assert len(sweep.runs) == len(stand.queue.tasks) == 4
        assert {each.parameters["optimization.learning_rate"] for each in sweep.runs} == {"0.1", "0.2", "0.3", "0.4"}
