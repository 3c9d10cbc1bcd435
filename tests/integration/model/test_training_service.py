"""Runs over mutual TLS on a real PostgreSQL: people start and watch, agents train; cuts, restarts, two replicas."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from automesh.core.errors import Unavailable
from automesh.core.ids import new_id
from automesh.model.v1 import run_pb2, training_service_pb2
from automesh.model.v1 import run_service_pb2 as pb
from automesh.model.v1 import run_service_pb2_grpc as rpc
from automesh.model.v1 import training_service_pb2_grpc as training_rpc
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from automesh.testing.postgres import PostgresForTests
from services.model.convert.spec import message_of_json
from services.model.domain.registry.measuring import Measurer
from services.model.domain.registry.promotion import Promotion
from services.model.domain.registry.registry import Registry
from services.model.domain.registry.version import NewVersion
from services.model.domain.runs.claims import digest
from services.model.domain.runs.errors import RunTokenStale
from services.model.domain.runs.watching import WatchPace
from services.model.engine.training import Neighbours, TrainingEngine, TrainingOptions
from services.model.fakes.neighbours import FakeDatasets, FakeQueue
from services.model.fakes.training_house import SPEC
from services.model.store.alias_requests import SqlAliasRequests
from services.model.store.versions import SqlModelStore

pytestmark = pytest.mark.postgres
PACE = WatchPace(poll_s=0.1, gather_s=0.005, max_points=10, max_behind=50)
LIMIT_S = 20
PERSON = ["model.train", "model.read"]


class NoStatistics:
    """The data service knows nothing of its data."""

    async def columns(self, tenant_id: str, data_id: str, version: int) -> dict[str, Any]:
        return {}


class Replica:
    """One replica, and what people and agents do to it."""

    def __init__(self, engine: TrainingEngine, mesh: InProcessMesh) -> None:
        self.engine, self.mesh = engine, mesh

    async def runs(self, *permissions: str, tenant_id: str = "default") -> rpc.RunServiceAsyncStub:
        return rpc.RunServiceStub(await self.mesh.signed_in(permissions or PERSON, tenant_id=tenant_id))

    async def agent(self) -> AgentOnWire:
        return AgentOnWire(training_rpc.TrainingServiceStub(await self.mesh.channel("agent")))


class AgentOnWire:
    """What the agent's handler says, call by call."""

    def __init__(self, stub: training_rpc.TrainingServiceAsyncStub) -> None:
        self.stub = stub
        self.token = b""
        self.batch = 0

    async def claim(self, lease: bytes) -> training_service_pb2.ClaimRunResponse:
        answer = await self.stub.ClaimRun(training_service_pb2.ClaimRunRequest(lease_token=lease))
        self.token, self.batch = answer.run_token, 0
        return answer

    async def report(self, steps: Sequence[int]) -> int:
        self.batch += 1
        request = training_service_pb2.ReportProgressRequest(run_token=self.token, batch=self.batch)
        for step in steps:
            request.points.add(name="train/loss", value=1 / step, step=step, epoch=1).time.GetCurrentTime()
        request.progress.step = max(steps)
        return (await self.stub.ReportProgress(request)).sequence

    async def store(self, name: str, content: bytes) -> training_service_pb2.CheckpointFile:
        header = training_service_pb2.UploadFileHeader(run_token=self.token, name=name)

        async def parts() -> AsyncIterator[training_service_pb2.UploadFileRequest]:
            yield training_service_pb2.UploadFileRequest(header=header)
            for start in range(0, len(content), 1000):
                yield training_service_pb2.UploadFileRequest(chunk=content[start : start + 1000])

        return (await self.stub.UploadFile(parts())).file

    async def checkpoint(self, step: int, content: bytes) -> None:
        folder = f"checkpoints/{step:06}"
        file = await self.store(f"{folder}/state.json", content)
        file.name = "state.json"
        await self.stub.CommitCheckpoint(
            training_service_pb2.CommitCheckpointRequest(
                run_token=self.token, step=step, folder=folder, files=[file], best=True
            )
        )

    async def fetch(self, name: str) -> bytes:
        request = training_service_pb2.DownloadFileRequest(run_token=self.token, name=name)
        return b"".join([part.chunk async for part in self.stub.DownloadFile(request)])

    async def finish(self) -> training_service_pb2.FinishRunResponse:
        await self.store("model/model.safetensors", b"trained")
        return await self.finish_again()

    async def finish_again(self) -> training_service_pb2.FinishRunResponse:
        result = {"metrics": {"val/loss": 0.25}, "files": [{"name": "model/model.safetensors"}], "parameters": 7}
        request = training_service_pb2.FinishRunRequest(run_token=self.token, result=json.dumps(result).encode())
        return await self.stub.FinishRun(request)


class Stand:
    """A database with neighbours, on which replicas come and go."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.queue, self.datasets, self.fanout = FakeQueue(), FakeDatasets(), LocalFanout()
        self.blobs = EncryptedBlobStore.open(folder / "blobs", Sealer(Keyring.generate()))

    @asynccontextmanager
    async def replica(self, name: str = "first") -> AsyncIterator[Replica]:
        options = TrainingOptions(
            replica=name, pace=PACE, reconcile_s=0.2, silent_for=timedelta(seconds=1), sweep_s=0.1
        )
        async with Database.open(self.dsn, schema="model") as database:
            store = SqlModelStore(database)
            promotion = Promotion(store, SqlAliasRequests(database), Measurer(None, NoStatistics()), make_id=new_id)
            neighbours = Neighbours(
                registry=Registry(store, self.blobs, promotion, make_id=new_id),
                datasets=self.datasets,
                queue=self.queue,
                blobs=self.blobs,
                fanout=self.fanout,
            )
            engine = TrainingEngine(database, neighbours, options)
            async with engine.open() as bounds, in_process_mesh("model", bounds) as mesh:
                yield Replica(engine, mesh)
                engine.hub.stop()


@pytest.fixture
async def stand(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Stand]:
    async with postgres.fresh({"model": "services.model.migrations"}) as dsn:
        yield Stand(dsn, tmp_path)


@pytest.fixture
async def replica(stand: Stand) -> AsyncIterator[Replica]:
    async with stand.replica() as replica:
        yield replica


def start_request(request_id: str = "", **changes: Any) -> pb.StartTrainingRequest:
    return pb.StartTrainingRequest(spec=message_of_json({**SPEC, **changes}), request_id=request_id)


async def running(stand: Stand, replica: Replica) -> tuple[str, AgentOnWire]:
    started = await (await replica.runs()).StartTraining(start_request())
    agent = await replica.agent()
    await agent.claim(stand.queue.lease(started.task_id))
    return started.run_id, agent


async def updates(call: Any) -> list[run_pb2.RunUpdate]:
    async with asyncio.timeout(LIMIT_S):
        return [message.update async for message in call]


async def next_update(call: Any) -> run_pb2.RunUpdate:
    message: pb.WatchTrainingResponse = await asyncio.wait_for(call.read(), LIMIT_S)
    return message.update


def steps(seen: Sequence[run_pb2.RunUpdate]) -> list[int]:
    return [point.step for update in seen for point in update.points]


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


# ---------------------------------------------------------------------- watching
async def test_a_watch_cut_again_and_again_on_two_replicas_misses_and_repeats_nothing(stand: Stand) -> None:
    async with stand.replica("first") as first, stand.replica("second") as second:
        run_id, agent = await running(stand, first)
        watchers = [await first.runs(), await second.runs()]
        ahead = 8  # batches of 5 points: fewer than PACE.max_behind, beyond which a reader loses points
        room = asyncio.Semaphore(ahead)

        async def train() -> None:
            for batch in range(40):
                await room.acquire()
                await agent.report(range(batch * 5 + 1, batch * 5 + 6))
            await agent.finish()

        training = asyncio.create_task(train())
        seen: list[int] = []
        sequence, cuts, over = 0, 0, False
        while not over:
            call = watchers[cuts % 2].WatchTraining(pb.WatchTrainingRequest(run_id=run_id, from_sequence=sequence))
            for _ in range(3):  # then the line is cut
                update = await next_update(call)
                assert not update.dropped
                seen += steps([update])
                for _ in range(update.sequence // 5 - sequence // 5):
                    room.release()
                sequence = update.sequence
                over = update.state == run_pb2.RUN_STATE_COMPLETED and update.model_version == 1 and sequence == 200
                if over:
                    break
            call.cancel()
            cuts += 1
        await training
        assert seen == list(range(1, 201))
        assert cuts > 2


async def test_a_watch_goes_on_after_a_restart_of_the_service(stand: Stand) -> None:
    async with stand.replica() as before:
        run_id, agent = await running(stand, before)
        call = (await before.runs()).WatchTraining(pb.WatchTrainingRequest(run_id=run_id))
        await agent.report([1, 2, 3])
        seen = [await next_update(call)]
        while seen[-1].sequence < 3:
            seen.append(await next_update(call))
        before.engine.hub.stop()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await updates(call)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        token, batch = agent.token, agent.batch
    async with stand.replica() as after:
        agent = await after.agent()
        agent.token, agent.batch = token, batch  # the trainer went on meanwhile
        call = (await after.runs()).WatchTraining(pb.WatchTrainingRequest(run_id=run_id, from_sequence=3))
        await agent.report([4, 5])
        await agent.finish()
        seen += await updates(call)
    assert steps(seen) == [1, 2, 3, 4, 5]
    assert seen[-1].state == run_pb2.RUN_STATE_COMPLETED


async def test_a_reader_that_stops_reading_loses_the_oldest_points_and_hears_the_end(
    stand: Stand, replica: Replica
) -> None:
    run_id, agent = await running(stand, replica)
    call = (await replica.runs()).WatchTraining(pb.WatchTrainingRequest(run_id=run_id))
    await agent.report([1])
    seen = [await next_update(call)]
    while seen[-1].sequence < 1:
        seen.append(await next_update(call))
    total = 30_000  # far more than the buffers of a connection hold
    for first in range(2, total + 1, 1000):
        await agent.report(range(first, min(first + 1000, total + 1)))
    await agent.finish()
    seen += await updates(call)
    dropped = sum(update.dropped for update in seen)
    got = steps(seen)
    assert dropped > 0
    assert len(got) + dropped == total
    assert got == sorted(set(got))
    assert got[-1] == total
    assert (seen[-1].state, seen[-1].sequence) == (run_pb2.RUN_STATE_COMPLETED, total)


async def test_without_hints_a_watch_finds_everything_by_looking(stand: Stand) -> None:
    stand.fanout.healthy = False
    async with stand.replica("first") as first, stand.replica("second") as second:
        run_id, agent = await running(stand, first)
        call = (await second.runs()).WatchTraining(pb.WatchTrainingRequest(run_id=run_id))
        await next_update(call)
        await agent.report([1, 2])
        await agent.finish()
        assert steps(await updates(call)) == [1, 2]


async def test_a_watcher_that_leaves_frees_everything(stand: Stand, replica: Replica) -> None:
    run_id, _ = await running(stand, replica)
    call = (await replica.runs()).WatchTraining(pb.WatchTrainingRequest(run_id=run_id))
    await next_update(call)
    assert replica.engine.hub.watchers == 1
    call.cancel()
    await asyncio.wait_for(replica.engine.hub.gone(), LIMIT_S)
    assert replica.engine.hub.watchers == 0


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
