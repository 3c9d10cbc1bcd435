"""The set statements of the SQL store do what the domain's transitions do, whatever happens in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automesh.core.errors import AutomationError
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.orchestrator.domain.document import Document
from services.orchestrator.domain.lease import LeaseKey, LeaseRequest, Outcome, Report
from services.orchestrator.domain.retry import RetryPolicy
from services.orchestrator.domain.spec import NewTask
from services.orchestrator.domain.task import Draft, Failure, Task
from services.orchestrator.fakes.task_store import FakeTaskStore
from services.orchestrator.store.leases import SqlLeaseStore
from services.orchestrator.store.tasks import SqlTaskStore

# All waits end at half past a hundred seconds and time moves by whole hundreds, so that the milliseconds which real
# statements take never decide anything.
TTL, OFFER, TIMEOUT, RETRY = (timedelta(seconds=s) for s in (1550, 250, 4050, 550))
SHIFT = """
UPDATE task SET lease_until = lease_until - $1::interval, deadline_at = deadline_at - $1::interval,
                ready_at = ready_at - $1::interval
"""
TENANT = "acme"
AGENTS = st.sampled_from(["agent_a", "agent_b"])
TASKS = st.integers(0, 2)
BACK = st.sampled_from([0, 0, 0, 0, 1])  # mostly the current attempt, at times the one before
HOLDER = st.sampled_from(["", "", "", "", "agent_a", "agent_b"])  # mostly whoever holds it
LEASES = st.tuples(TASKS, BACK, HOLDER)
FAIL = st.tuples(st.just("fail"), LEASES, st.sampled_from([True, True, True, False]))
ATTEMPT = st.tuples(st.just("attempt"), AGENTS)
COMMON = [ATTEMPT, ATTEMPT, ATTEMPT, FAIL, FAIL, st.tuples(st.just("lose")), st.tuples(st.just("lose"))]
RARE = [
    st.tuples(st.just("lease"), st.lists(AGENTS, min_size=1, max_size=3)),
    st.tuples(st.just("accept"), LEASES),
    st.tuples(st.just("extend"), LEASES),
    st.tuples(st.just("withdraw"), LEASES),
    st.tuples(st.just("report"), LEASES, st.none() | st.sampled_from([0.0, 0.5]), st.none() | st.just(b"c"), TASKS),
    st.tuples(st.just("complete"), LEASES),
    st.tuples(st.just("reap")),
    st.tuples(st.just("cancel"), TASKS),
    st.tuples(st.just("edit"), TASKS, st.integers(0, 9)),
    st.tuples(st.just("delete"), TASKS),
    st.tuples(st.just("advance"), st.sampled_from([100, 300, 600, 1700, 4100])),
]
# Two ways to choose, so that tasks live long enough to reach the ends of their retries and crashes.
OPERATIONS = st.lists(st.one_of(*COMMON), min_size=10, max_size=40) | st.lists(
    st.one_of(*COMMON, *RARE), min_size=10, max_size=40
)


@dataclass
class Pair:
    """Both stores, and how to do one thing to both."""

    database: Database
    fake: FakeTaskStore
    sql: SqlTaskStore
    leases: SqlLeaseStore
    now: list[datetime]
    ids: list[str] = field(default_factory=list)

    async def both(self, request: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
        """The same question to both has the same answer."""
        self.now[0] += timedelta(milliseconds=1)
        answers = [await _answer(request(store)) for store in (self.fake, _Both(self.sql, self.leases))]
        assert answers[0] == answers[1]

    def lease_key(self, which: tuple[int, int, str]) -> tuple[LeaseKey, str]:
        """A lease of a task, current or older; of no task where there are too few."""
        index, back, agent = which
        if index >= len(self.ids):
            return LeaseKey("task_none", 1), agent
        task = self.fake.tasks.get(self.ids[index])
        attempt, holder = (task.attempt, task.agent_id) if task else (1, "")
        return LeaseKey(self.ids[index], max(1, attempt - back)), agent or holder or "agent_a"

    async def state(self) -> tuple[list[Any], list[Any]]:
        """Everything both know."""
        here = [_seen(task, self.now[0]) for _, task in sorted(self.fake.tasks.items())]
        rows = await self.database.fetch("SELECT task_id, now() FROM task ORDER BY task_id", tenant=ENGINE)
        there = [_seen(await self.sql.get(TENANT, row["task_id"]), row["now"]) for row in rows]
        return here, there


class _Both:
    """The SQL stores of tasks and leases as one thing, as the fake is."""

    def __init__(self, tasks: SqlTaskStore, leases: SqlLeaseStore) -> None:
        self._parts = (leases, tasks)

    def __getattr__(self, name: str) -> Any:
        return next(getattr(part, name) for part in self._parts if hasattr(part, name))


async def _answer(work: Coroutine[Any, Any, Any]) -> object:
    """What comes back, in a form that can be compared: times and texts of errors may differ."""
    try:
        found = await work
    except AutomationError as error:
        return type(error)
    if isinstance(found, int | set | None):
        return found
    return sorted(_plain(one) for one in found)


def _plain(one: Any) -> tuple[Any, ...]:
    if isinstance(one, Task):
        return (one.task_id, one.attempt, one.agent_id, one.status)
    lease_key = one.lease_key
    return (lease_key.task_id, lease_key.attempt, one.status, getattr(one, "fresh", ""), getattr(one, "ended", ""))


def _seen(task: Task, now: datetime) -> dict[str, Any]:
    def hundreds(moment: datetime | None) -> int | None:
        return None if moment is None else round((moment - now).total_seconds() / 100 + 0.25)

    return {
        "task": (task.task_id, task.status, task.spec.priority, task.attempt, task.settled_attempt, task.agent_id),
        "counts": (task.failures, task.crashes, task.revision, task.log_sequence),
        "ends": (task.result, task.failure, task.cancel_reason, task.finished_at is not None),
        "progress": task.progress and (task.progress.fraction, task.progress.message),
        "checkpoint": task.checkpoint,
        "started": task.started_at is not None,
        "waits": (hundreds(task.lease_until), hundreds(task.deadline_at)),
        "ready": task.ready_at <= now or hundreds(task.ready_at),
    }


async def apply(pair: Pair, operation: tuple[Any, ...]) -> None:
    """Does one thing to both stores."""
    name, *rest = operation
    await getattr(Do, name)(pair, *rest)


class Do:
    """What can be done to tasks."""

    @staticmethod
    async def create(pair: Pair, max_retries: int, priority: int) -> None:
        policy = RetryPolicy(max_retries=max_retries, initial_delay=RETRY, multiplier=3)
        spec = NewTask(type="noop", priority=priority, timeout=TIMEOUT, retry=policy)
        draft = Draft(task_id=f"task_{len(pair.ids)}", tenant_id=TENANT, spec=spec)
        pair.ids.append(draft.task_id)
        for store in (pair.fake, pair.sql):
            await store.create(draft, request_id="", queue_limit=9)

    @staticmethod
    async def lease(pair: Pair, agents: list[str]) -> None:
        await pair.both(lambda store: store.lease(LeaseRequest(("noop",), "", tuple(agents)), OFFER))

    @staticmethod
    async def attempt(pair: Pair, agent: str) -> None:
        await Do.lease(pair, [agent] * 3)
        for index in range(len(pair.ids)):
            await Do.accept(pair, (index, 0, agent))

    @staticmethod
    async def lose(pair: Pair) -> None:
        await Do.advance(pair, 1700)
        await Do.reap(pair)

    @staticmethod
    async def accept(pair: Pair, which: tuple[int, int, str]) -> None:
        lease_key, agent = pair.lease_key(which)
        await pair.both(lambda store: store.accept([lease_key], agent, TTL))

    @staticmethod
    async def extend(pair: Pair, which: tuple[int, int, str]) -> None:
        lease_key, agent = pair.lease_key(which)
        await pair.both(lambda store: store.extend({lease_key: agent}, TTL))

    @staticmethod
    async def withdraw(pair: Pair, which: tuple[int, int, str]) -> None:
        lease_key, _ = pair.lease_key(which)
        await pair.both(lambda store: store.withdraw([lease_key]))

    @staticmethod
    async def report(
        pair: Pair, which: tuple[int, int, str], fraction: float | None, checkpoint: bytes | None, lines: int
    ) -> None:
        lease_key, agent = pair.lease_key(which)
        report = Report(lease_key, agent, fraction, "so far", checkpoint, ("line",) * lines)
        await pair.both(lambda store: store.report([report]))

    @staticmethod
    async def complete(pair: Pair, which: tuple[int, int, str]) -> None:
        lease_key, agent = pair.lease_key(which)
        await pair.both(lambda store: store.settle([Outcome(lease_key, agent, result=Document())]))

    @staticmethod
    async def fail(pair: Pair, which: tuple[int, int, str], retryable: bool) -> None:
        lease_key, agent = pair.lease_key(which)
        failure = Failure("BROKEN", "it broke", retryable, lease_key.attempt)
        await pair.both(lambda store: store.settle([Outcome(lease_key, agent, failure=failure)]))

    @staticmethod
    async def reap(pair: Pair) -> None:
        await pair.both(lambda store: store.reap(limit=100, jitter=1.0))

    @staticmethod
    async def cancel(pair: Pair, index: int) -> None:
        await Do._change(pair, index, lambda task, now: task.cancel("enough", now))

    @staticmethod
    async def edit(pair: Pair, index: int, priority: int) -> None:
        await Do._change(pair, index, lambda task, now: task.edit({"priority": priority}, now))

    @staticmethod
    async def delete(pair: Pair, index: int) -> None:
        await pair.both(lambda store: store.delete(TENANT, f"task_{index}"))

    @staticmethod
    async def advance(pair: Pair, seconds: int) -> None:
        pair.now[0] += timedelta(seconds=seconds)
        await pair.database.execute(SHIFT, timedelta(seconds=seconds), tenant=ENGINE)

    @staticmethod
    async def _change(pair: Pair, index: int, change: Callable[[Task, datetime], Task]) -> None:
        pair.now[0] += timedelta(milliseconds=1)
        for store in (pair.fake, pair.sql):
            with suppress(AutomationError):  # the states compared afterwards show whether both refused
                await store.change(TENANT, f"task_{index}", change)


class Bench:
    """One database for all examples, on a loop of its own, emptied for each."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        self.run = runner.run
        self._database = database

    async def pair(self) -> Pair:
        async with self._database.transaction(ENGINE) as tx:
            await tx.execute("TRUNCATE task CASCADE")
            await tx.execute("INSERT INTO task_type (tenant_id, type) VALUES ('', 'noop') ON CONFLICT DO NOTHING")
        now = [datetime(2026, 1, 1, tzinfo=UTC)]
        sealer = Sealer(Keyring.generate())
        fake = FakeTaskStore(lambda: now[0], types={("", "noop")})
        return Pair(
            self._database, fake, SqlTaskStore(self._database, sealer), SqlLeaseStore(self._database, sealer), now
        )


@asynccontextmanager
async def opened(postgres: PostgresForTests) -> AsyncIterator[Database]:
    async with postgres.fresh({"orchestrator": "services.orchestrator.migrations"}) as dsn:
        async with Database.open(dsn, schema="orchestrator") as database:
            yield database


@pytest.fixture
def bench(postgres: PostgresForTests) -> Iterator[Bench]:
    with asyncio.Runner() as runner:
        context = opened(postgres)
        yield Bench(runner, runner.run(context.__aenter__()))
        runner.run(context.__aexit__(None, None, None))


@pytest.mark.postgres
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(operations=OPERATIONS)
def test_sql_and_domain_agree_after_any_sequence_of_operations(bench: Bench, operations: list[tuple[Any, ...]]) -> None:
    async def run() -> None:
        pair = await bench.pair()
        for max_retries, priority in ((0, 5), (1, 4), (2, 4)):
            await Do.create(pair, max_retries, priority)
        for operation in operations:
            await apply(pair, operation)
            here, there = await pair.state()
            assert here == there, operation

    bench.run(run())
