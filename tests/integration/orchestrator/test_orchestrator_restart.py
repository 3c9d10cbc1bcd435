"""PostgreSQL goes away under load: callers are told to retry, agents come back, nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry

from automesh.local.postgres import EmbeddedPostgres
from automesh.orchestrator.v1 import task_pb2
from automesh.orchestrator.v1 import task_service_pb2 as pb
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.migrations import migrate
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.mesh import in_process_mesh
from automesh.testing.wire import OrchestratorOnWire, WireAgent, task_request
from services.orchestrator.domain.lease import Terms
from services.orchestrator.engine import Engine, Options

pytestmark = pytest.mark.postgres
TASKS = 60
LIMIT_S = 60.0


class Stand:
    """An orchestrator on a PostgreSQL of its own, which can be restarted."""

    def __init__(self, postgres: EmbeddedPostgres, wire: OrchestratorOnWire) -> None:
        self.postgres = postgres
        self.wire = wire


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    postgres = EmbeddedPostgres(tmp_path / "data", tmp_path / "run")
    async with AsyncExitStack() as stack:
        dsn = await postgres.start()
        stack.push_async_callback(postgres.stop)
        database = await stack.enter_async_context(Database.open(dsn, schema="orchestrator"))
        await migrate(database, "services.orchestrator.migrations")
        keyring = Keyring.generate()
        blobs = EncryptedBlobStore.open(tmp_path / "blobs", Sealer(keyring))
        options = Options(replica="only", terms=Terms(), registry=CollectorRegistry())
        engine = Engine(database, keyring, blobs, LocalFanout(), options)
        bounds = await stack.enter_async_context(engine.open())
        yield Stand(
            postgres, OrchestratorOnWire(await stack.enter_async_context(in_process_mesh("orchestrator", bounds)))
        )


async def submit(wire: OrchestratorOnWire, number: int) -> str:
    """Creates a task, however often it takes: the request id makes that safe."""
    stub = await wire.tasks()
    while True:
        try:
            return (await stub.CreateTask(task_request(f"r{number}"))).task.task_id
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        await asyncio.sleep(0.1)


async def labour(agent: WireAgent, done: dict[str, int]) -> None:
    """Works until cancelled; after a broken stream it comes back with what it holds, and repeats what was not acked."""
    unsettled: dict[bytes, str] = {}
    while True:
        try:
            attached = await agent.attach(held=list(unsettled))
            unsettled = {token: unsettled[token] for token in attached.keep}
            for token in list(unsettled):
                await _finish(agent, token, unsettled, done)
            while True:
                await agent.credit()
                lease = await agent.leased()
                unsettled[lease.lease_token] = lease.task_id
                await agent.accept(lease)
                await _finish(agent, lease.lease_token, unsettled, done)
        except (grpc.aio.AioRpcError, AssertionError, asyncio.InvalidStateError):
            agent.stop_beating()
        await asyncio.sleep(0.1)


async def _finish(agent: WireAgent, token: bytes, unsettled: dict[bytes, str], done: dict[str, int]) -> None:
    from automesh.orchestrator.v1 import work_service_pb2 as work

    ack = await agent.complete(work.Lease(lease_token=token))
    task_id = unsettled.pop(token)
    if not ack.stale:
        done[task_id] = done.get(task_id, 0) + 1


async def test_a_restart_of_postgresql_under_load_loses_nothing(stand: Stand) -> None:
    wire, done = stand.wire, dict[str, int]()
    workers = [asyncio.create_task(labour(await wire.agent(), done)) for _ in range(3)]
    submitters = [asyncio.create_task(submit(wire, number)) for number in range(TASKS // 2)]
    try:
        async with asyncio.timeout(LIMIT_S):
            await submitters[0]
            await stand.postgres.stop()
            submitters += [asyncio.create_task(submit(wire, number)) for number in range(TASKS // 2, TASKS)]
            await stand.postgres.start()
            ids = {await submitter for submitter in submitters}
            assert len(ids) == TASKS
            stub = await wire.tasks()
            for task_id in ids:
                watched = [seen.task async for seen in stub.WatchTask(pb.WatchTaskRequest(task_id=task_id))]
                assert watched[-1].status == task_pb2.TASK_STATUS_COMPLETED
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, *submitters, return_exceptions=True)
    page = await stub.ListTasks(pb.ListTasksRequest(page_size=1000))
    assert {task.task_id for task in page.tasks} == ids
    assert set(done.values()) == {1}  # whatever was acknowledged was acknowledged once
