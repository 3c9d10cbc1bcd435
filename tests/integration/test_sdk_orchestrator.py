"""SDK and orchestrator together: the real engine on a real PostgreSQL, over mutual TLS, in one process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from prometheus_client import CollectorRegistry

from automesh.core.errors import AutomationError, Kind
from automesh.orchestrator.v1 import task_pb2
from automesh.sdk import Agent, Client, LeasedTask, PermanentError, RetryableError, TaskContext, Worker, WorkerOptions
from automesh.sdk.job import Result
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.databases import OpenDatabase
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from automesh.testing.orchestrator import FakeConnection
from services.orchestrator.app import MIGRATIONS, SCHEMA
from services.orchestrator.domain.lease import Terms
from services.orchestrator.engine import Engine, Options

pytestmark = pytest.mark.postgres

LIMIT_S = 30.0
TERMS = Terms(lease_ttl=timedelta(seconds=2), heartbeat=timedelta(seconds=0.5), offer_for=timedelta(seconds=1))
COMPLETED, FAILED, CANCELLED = (
    task_pb2.TASK_STATUS_COMPLETED,
    task_pb2.TASK_STATUS_FAILED,
    task_pb2.TASK_STATUS_CANCELLED,
)


class Clock:
    """The agent's elapsed seconds, which a test can push forward as if the process had been stopped."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


class Fleet:
    """Agents at work for one orchestrator, and a client of it."""

    def __init__(self, mesh: InProcessMesh, client: Client) -> None:
        self.client = client
        self._mesh = mesh
        self._running: list[asyncio.Task[None]] = []

    async def start(self, agent: Agent, **options: Any) -> Worker:
        quick = {"slots": 2, "first_wait_s": 0.05, "longest_wait_s": 0.2, "stop_grace_s": 0.5}
        connection = FakeConnection(await self._mesh.channel("agent"), authorization="")
        worker = agent.worker(connection, WorkerOptions(**{"name": agent.name, **quick, **options}))
        self._running.append(asyncio.create_task(worker.run()))
        async with asyncio.timeout(LIMIT_S):
            await until(lambda: worker.connected or self._running[-1].done())
        assert worker.connected
        return worker

    async def finished(self, task: task_pb2.Task) -> task_pb2.Task:
        return await self.client.wait(task.task_id, timeout_s=LIMIT_S)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)


@pytest.fixture
async def fleet(open_database: OpenDatabase, tmp_path: Path) -> AsyncIterator[Fleet]:
    keyring = Keyring.generate()
    blobs = EncryptedBlobStore.open(str(tmp_path / "blobs"), Sealer(keyring))
    database = await open_database(SCHEMA, MIGRATIONS)
    options = Options(replica="one", terms=TERMS, registry=CollectorRegistry())
    engine = Engine(database, keyring, blobs, LocalFanout(), options)
    async with engine.open() as bounds, in_process_mesh("orchestrator", bounds) as mesh:
        channel = await mesh.signed_in(["task.create", "task.read", "task.cancel"])
        fleet = Fleet(mesh, Client(FakeConnection(channel, authorization="")))
        yield fleet
        await fleet.close()


async def until(fact: Callable[[], bool]) -> None:
    """For facts that nothing tells of; bounded by the caller."""
    while not fact():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def agent_with(handler: Any) -> Agent:
    agent = Agent(name="test-agent")

    @agent.task("work", description="does what the test wants")
    async def work(task: LeasedTask, context: TaskContext) -> Result:
        result: Result = await handler(task, context)
        return result

    return agent


async def test_a_task_runs_with_progress_log_and_artifacts(fleet: Fleet, tmp_path: Path) -> None:
    async def work(task: LeasedTask, context: TaskContext) -> dict[str, Any]:
        context.log("one")
        context.progress(0.5, "half way")
        stored = await context.upload("out/data.bin", b"x" * 1_000_000)
        return {"size": stored.size, "double": task.input["number"] * 2}

    await fleet.start(agent_with(work))
    task = await fleet.client.create_task("work", {"number": 21})
    lines = []
    async for message in fleet.client.watch_task(task.task_id):
        lines += [line.text for line in message.log_lines]
    done = await fleet.finished(task)

    assert (done.status, MessageToDict(done.result)) == (COMPLETED, {"size": 1e6, "double": 42.0})
    assert lines == ["one"]
    paths = await fleet.client.download(task.task_id, tmp_path / "artifacts")
    assert [path.stat().st_size for path in paths] == [1_000_000]


async def test_a_retry_gets_the_checkpoint_of_the_attempt_before(fleet: Fleet) -> None:
    async def work(task: LeasedTask, context: TaskContext) -> dict[str, Any]:
        if context.attempt == 1:
            context.checkpoint(b"so far")
            raise RetryableError("TOOL_BUSY", "try me again")
        return {"attempt": context.attempt, "checkpoint": task.checkpoint.decode()}

    await fleet.start(agent_with(work))
    task = await fleet.client.create_task("work", max_retries=1)
    done = await fleet.finished(task)
    assert MessageToDict(done.result) == {"attempt": 2.0, "checkpoint": "so far"}


async def test_a_permanent_error_is_not_retried(fleet: Fleet) -> None:
    async def work(task: LeasedTask, context: TaskContext) -> None:
        raise PermanentError("MODULE_NOT_FOUND", "no such module")

    await fleet.start(agent_with(work))
    done = await fleet.finished(await fleet.client.create_task("work"))
    assert (done.status, done.attempt) == (FAILED, 1)
    assert (done.failure.reason, done.failure.message) == ("MODULE_NOT_FOUND", "no such module")


async def test_cancel_reaches_the_handler_and_frees_its_slot(fleet: Fleet) -> None:
    began, stopped = asyncio.Event(), asyncio.Event()
    reasons: list[str] = []

    async def work(task: LeasedTask, context: TaskContext) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            reasons.append(context.stop_reason)
            stopped.set()

    worker = await fleet.start(agent_with(work), slots=1)
    task = await fleet.client.create_task("work")
    async with asyncio.timeout(LIMIT_S):
        await began.wait()
        cancelled = await fleet.client.cancel_task(task.task_id, "not needed")
        await stopped.wait()
        await until(lambda: worker.running == 0)
    assert (cancelled.status, reasons) == (CANCELLED, ["not needed"])
    with pytest.raises(AutomationError) as caught:
        await fleet.client.cancel_task(task.task_id)
    assert caught.value.kind is Kind.PRECONDITION


async def test_a_lease_outlives_many_of_its_lives_while_the_agent_beats(fleet: Fleet) -> None:
    async def work(task: LeasedTask, context: TaskContext) -> dict[str, int]:
        await asyncio.sleep(3 * TERMS.lease_ttl.total_seconds())
        return {"attempt": context.attempt}

    await fleet.start(agent_with(work))
    done = await fleet.finished(await fleet.client.create_task("work"))
    assert MessageToDict(done.result) == {"attempt": 1.0}


async def test_what_an_agent_says_of_a_lease_it_lost_changes_nothing(fleet: Fleet) -> None:
    clock, began, second = Clock(), asyncio.Event(), asyncio.Event()
    attempts: list[int] = []

    async def work(task: LeasedTask, context: TaskContext) -> dict[str, int]:
        attempts.append(context.attempt)
        if context.attempt == 1:
            began.set()
            await asyncio.Event().wait()
        await second.wait()
        return {"attempt": context.attempt}

    first = await fleet.start(agent_with(work), slots=1, elapsed=clock)
    task = await fleet.client.create_task("work")
    async with asyncio.timeout(LIMIT_S):
        await began.wait()
        clock.ahead = 3600.0  # it gives the lease up, and says so
        await until(lambda: first.running == 0)
        await fleet.start(agent_with(work), slots=1)
        second.set()
    done = await fleet.finished(task)
    assert done.status == COMPLETED
    assert MessageToDict(done.result)["attempt"] == done.attempt


async def test_many_small_tasks_each_run_exactly_once(fleet: Fleet) -> None:
    ran: list[str] = []

    async def work(task: LeasedTask, context: TaskContext) -> dict[str, str]:
        ran.append(task.task_id)
        return {"id": task.task_id}

    await fleet.start(agent_with(work), slots=4)
    await fleet.start(agent_with(work), slots=4)
    tasks = await asyncio.gather(*(fleet.client.create_task("work") for _ in range(60)))
    done = await asyncio.gather(*(fleet.finished(task) for task in tasks))
    assert all(task.status == COMPLETED for task in done)
    assert sorted(ran) == sorted(task.task_id for task in tasks)
