"""One suite for both task stores: the fake, and the real one on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automesh.core.ids import new_id
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.orchestrator.domain.document import Document
from services.orchestrator.domain.errors import (
    LeaseLost,
    QueueFull,
    RequestReused,
    TaskAlreadyFinished,
    TaskNotFound,
    TaskNotScheduled,
    TaskStillRunning,
    UnknownTaskType,
)
from services.orchestrator.domain.lease import Ended, LeaseKey, LeaseRequest, Outcome, Report
from services.orchestrator.domain.ports import MAX_LOG_LINES, LeaseStore, TaskQuery, TaskStore
from services.orchestrator.domain.retry import MAX_CRASHES, RetryPolicy
from services.orchestrator.domain.spec import NewTask
from services.orchestrator.domain.task import Draft, Failure, Status, Task
from services.orchestrator.fakes.task_store import FakeTaskStore
from services.orchestrator.store.leases import SqlLeaseStore
from services.orchestrator.store.tasks import SqlTaskStore

TTL, OFFER = timedelta(seconds=15), timedelta(seconds=2)
TENANT, AGENT = "acme", "agent_a"
SHIFT = """
UPDATE task SET lease_until = lease_until - $1::interval, deadline_at = deadline_at - $1::interval,
                ready_at = ready_at - $1::interval
"""


@dataclass
class House:
    """A store with a handle on its time."""

    tasks: TaskStore
    leases: LeaseStore
    advance: Callable[[float], Awaitable[None]]

    async def create(self, tenant_id: str = TENANT, request_id: str = "", limit: int = 1000, **spec: Any) -> Task:
        new = NewTask(**{"type": "noop", **spec})
        draft = Draft(task_id=new_id("task"), tenant_id=tenant_id, spec=new, created_by="user_1")
        task, _ = await self.tasks.create(draft, request_id=request_id, queue_limit=limit)
        return task

    async def lease(self, *agents: str, types: tuple[str, ...] = ("noop",), tenant_id: str = "") -> list[Task]:
        return list(await self.leases.lease(LeaseRequest(types, tenant_id, agents or (AGENT,)), OFFER))

    async def running(self, **spec: Any) -> tuple[Task, LeaseKey]:
        await self.create(**spec)
        [task] = await self.lease()
        lease_key = LeaseKey(task.task_id, task.attempt)
        assert await self.leases.accept([lease_key], AGENT, TTL) == {lease_key}
        return task, lease_key

    async def again(self, task: Task) -> LeaseKey:
        """Leases and accepts the only task that is ready."""
        [leased] = await self.lease()
        assert leased.task_id == task.task_id
        lease_key = LeaseKey(leased.task_id, leased.attempt)
        await self.leases.accept([lease_key], AGENT, TTL)
        return lease_key

    async def fail(self, lease_key: LeaseKey, *, retryable: bool = True, agent: str = AGENT) -> bool:
        failure = Failure("BROKEN", "it broke", retryable, lease_key.attempt)
        return bool(await self.leases.settle([Outcome(lease_key, agent, failure=failure)]))

    async def complete(self, lease_key: LeaseKey, agent: str = AGENT) -> bool:
        return bool(await self.leases.settle([Outcome(lease_key, agent, result=Document(b'{"ok":true}'))]))

    async def get(self, task: Task) -> Task:
        return await self.tasks.get(task.tenant_id, task.task_id)


def fake_house() -> House:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    async def advance(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    store = FakeTaskStore(lambda: now, types={("", "noop"), ("", "other"), ("acme", "private")})
    return House(store, store, advance)


async def sql_house(database: Database) -> House:
    sealer = Sealer(Keyring.generate())
    types = [("", "noop"), ("", "other"), ("acme", "private")]
    async with database.transaction(ENGINE) as tx:
        await tx.executemany("INSERT INTO task_type (tenant_id, type) VALUES ($1, $2)", types)

    async def advance(seconds: float) -> None:
        await database.execute(SHIFT, timedelta(seconds=seconds), tenant=ENGINE)

    return House(SqlTaskStore(database, sealer), SqlLeaseStore(database, sealer), advance)


@pytest.fixture(params=["fake", pytest.param("postgres", marks=pytest.mark.postgres)])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "fake":
        yield fake_house()
        return
    postgres: PostgresForTests = request.getfixturevalue("postgres")
    async with (
        postgres.fresh({"orchestrator": "services.orchestrator.migrations"}) as dsn,
        Database.open(dsn, schema="orchestrator") as database,
    ):
        yield await sql_house(database)


# ---------------------------------------------------------------------- create, get, list
async def test_what_was_created_is_read_back(house: House) -> None:
    spec = NewTask(
        type="noop",
        description="für alle",
        input=Document(b'{"a":[1,2]}'),
        priority=0,
        timeout=timedelta(minutes=3),
        retry=RetryPolicy(max_retries=1, initial_delay=timedelta(seconds=0.5), multiplier=1.5),
    )
    who = {"created_by": "user_1", "created_by_name": "ann"}
    draft = Draft(task_id=new_id("task"), tenant_id=TENANT, spec=spec, traceparent="00-x", **who)
    task, fresh = await house.tasks.create(draft, request_id="", queue_limit=10)
    assert fresh
    assert await house.get(task) == task
    assert (task.spec, task.status, task.attempt) == (spec, Status.SCHEDULED, 0)
    assert (task.created_by, task.created_by_name) == ("user_1", "ann")


async def test_a_type_that_no_agent_knows_is_refused(house: House) -> None:
    with pytest.raises(UnknownTaskType):
        await house.create(type="unheard_of")


async def test_a_type_of_another_tenants_agent_is_unknown(house: House) -> None:
    assert (await house.create(type="private")).status is Status.SCHEDULED
    with pytest.raises(UnknownTaskType):
        await house.create("globex", type="private")


async def test_a_task_of_another_tenant_is_not_found(house: House) -> None:
    task = await house.create()
    with pytest.raises(TaskNotFound):
        await house.tasks.get("globex", task.task_id)
    with pytest.raises(TaskNotFound):
        await house.tasks.change("globex", task.task_id, lambda task, now: task.cancel("", now))
    with pytest.raises(TaskNotFound):
        await house.tasks.delete("globex", task.task_id)
    with pytest.raises(TaskNotFound):
        await house.tasks.version("globex", task.task_id)
    assert list(await house.tasks.lines("globex", task.task_id, after=0, limit=10)) == []
    assert list((await house.tasks.list("globex", TaskQuery(limit=10))).tasks) == []


async def test_a_request_id_makes_create_safe_to_repeat(house: House) -> None:
    first = await house.create(request_id="r1", description="one")
    assert await house.create(request_id="r1", description="one") == first
    with pytest.raises(RequestReused):
        await house.create(request_id="r1", description="two")
    assert (await house.create("globex", request_id="r1", description="two")).task_id != first.task_id


async def test_concurrent_creates_with_one_request_id_make_one_task(house: House) -> None:
    tasks = await asyncio.gather(*(house.create(request_id="r1") for _ in range(8)))
    assert len({task.task_id for task in tasks}) == 1


async def test_a_request_id_is_forgotten_after_its_time(house: House) -> None:
    first = await house.create(request_id="r1")
    assert await house.tasks.forget_requests(timedelta(hours=1)) == 0
    await house.advance(1)
    assert await house.tasks.forget_requests(timedelta(seconds=-60)) == 1
    assert (await house.create(request_id="r1")).task_id != first.task_id


async def test_a_full_queue_refuses_more_until_a_task_runs(house: House) -> None:
    for _ in range(3):
        await house.create(limit=3)
    with pytest.raises(QueueFull):
        await house.create(limit=3)
    await house.create("globex", limit=3)
    [task] = await house.lease(tenant_id=TENANT)
    with pytest.raises(QueueFull):
        await house.create(limit=3)  # an offer that nobody accepted still waits
    await house.leases.accept([LeaseKey(task.task_id, task.attempt)], AGENT, TTL)
    await house.create(limit=3)


async def test_concurrent_creates_never_exceed_the_queue(house: House) -> None:
    made = await asyncio.gather(*(house.create(limit=5) for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(one, Task) for one in made) == 5
    assert sum(isinstance(one, QueueFull) for one in made) == 7


async def test_a_queue_that_is_far_from_full_is_filled_exactly_too(house: House) -> None:
    made = await asyncio.gather(*(house.create(limit=115) for _ in range(130)), return_exceptions=True)
    assert sum(isinstance(one, Task) for one in made) == 115
    assert sum(isinstance(one, QueueFull) for one in made) == 15


async def test_concurrent_creates_with_one_request_id_make_one_task_in_a_long_queue_too(house: House) -> None:
    made = await asyncio.gather(*(house.create(request_id="r1", limit=9999) for _ in range(8)))
    assert len({task.task_id for task in made}) == 1


async def test_lists_are_paged_newest_first_and_filtered(house: House) -> None:
    tasks = [await house.create(type=kind) for kind in ("noop", "other", "noop", "other", "noop")]
    first = await house.tasks.list(TENANT, TaskQuery(limit=2))
    assert first.more
    second = await house.tasks.list(TENANT, TaskQuery(limit=9, before=first.tasks[-1].task_id))
    assert not second.more
    newest_first = sorted((task.task_id for task in tasks), reverse=True)
    assert [task.task_id for task in (*first.tasks, *second.tasks)] == newest_first
    others = await house.tasks.list(TENANT, TaskQuery(limit=9, types=frozenset({"other"})))
    assert {task.spec.type for task in others.tasks} == {"other"}
    cancelled, _ = tasks[0], await house.tasks.change(TENANT, tasks[0].task_id, lambda task, now: task.cancel("", now))
    only = await house.tasks.list(TENANT, TaskQuery(limit=9, statuses=frozenset({Status.CANCELLED})))
    assert [task.task_id for task in only.tasks] == [cancelled.task_id]


async def test_an_empty_list_has_no_next_page(house: House) -> None:
    page = await house.tasks.list(TENANT, TaskQuery(limit=5))
    assert (list(page.tasks), page.more) == ([], False)


# ---------------------------------------------------------------------- leases
async def test_the_most_urgent_ready_task_is_leased_first(house: House) -> None:
    low = await house.create(priority=1)
    high = await house.create(priority=9)
    await house.create(priority=9, run_at=datetime.now(UTC) + timedelta(days=30))
    assert [task.task_id for task in await house.lease()] == [high.task_id]
    assert [task.task_id for task in await house.lease()] == [low.task_id]
    assert await house.lease() == []


async def test_slots_get_different_tasks_and_only_of_the_asked_types_and_tenant(house: House) -> None:
    mine = {(await house.create()).task_id for _ in range(3)}
    await house.create(type="other")
    theirs = await house.create("globex")
    leased = await house.lease("agent_a", "agent_b", "agent_c", "agent_d", tenant_id=TENANT)
    assert {task.task_id for task in leased} == mine
    assert sorted(task.agent_id for task in leased) == ["agent_a", "agent_b", "agent_c"]
    assert [task.task_id for task in await house.lease(types=("other", "noop"), tenant_id="globex")] == [theirs.task_id]


async def test_two_leasers_never_get_the_same_attempt(house: House) -> None:
    for _ in range(20):
        await house.create()
    agents = [f"agent_{number}" for number in range(8)]
    rounds = await asyncio.gather(*(house.lease(agent, agent, agent) for agent in agents))
    leased = [LeaseKey(task.task_id, task.attempt) for tasks in rounds for task in tasks]
    rest = [LeaseKey(task.task_id, task.attempt) for task in await house.lease(*["agent_z"] * 20)]
    assert len(leased + rest) == len(set(leased + rest)) == 20


async def test_accepting_starts_the_attempt_once(house: House) -> None:
    task = await house.create()
    [leased] = await house.lease()
    lease_key = LeaseKey(task.task_id, 1)
    assert (leased.status, leased.attempt, leased.agent_id) == (Status.OFFERED, 1, AGENT)
    assert await house.leases.accept([lease_key], AGENT, TTL) == {lease_key}
    running = await house.get(task)
    assert running.status is Status.RUNNING
    assert running.started_at is not None
    assert await house.leases.accept([lease_key], AGENT, TTL) == {lease_key}
    assert (await house.get(task)).started_at == running.started_at


async def test_only_the_holder_of_the_current_attempt_may_speak(house: House) -> None:
    task, lease_key = await house.running()
    other, newer = LeaseKey(task.task_id, 2), "agent_b"
    for wrong, agent in ((other, AGENT), (lease_key, newer)):
        assert await house.leases.accept([wrong], agent, TTL) == set()
        assert await house.leases.extend({wrong: agent}, TTL) == set()
        assert await house.leases.report([Report(wrong, agent, fraction=0.5)]) == set()
        assert not await house.complete(wrong, agent)
        assert not await house.fail(wrong, agent=agent)
    assert (await house.get(task)).status is Status.RUNNING


async def test_an_offer_that_is_not_accepted_goes_back_without_costing_a_retry(house: House) -> None:
    task = await house.create()
    await house.lease()
    assert await house.leases.reap(limit=10, jitter=1) == []
    await house.advance(3)
    [reaped] = await house.leases.reap(limit=10, jitter=1)
    assert (reaped.ended, reaped.status, reaped.agent_id) == (Ended.STALE, Status.SCHEDULED, AGENT)
    back = await house.get(task)
    assert (back.status, back.failures, back.crashes, back.attempt) == (Status.SCHEDULED, 0, 0, 1)
    assert await house.leases.accept([LeaseKey(task.task_id, 1)], AGENT, TTL) == set()
    assert [again.attempt for again in await house.lease("agent_b")] == [2]


async def test_an_offer_can_be_withdrawn_but_a_running_task_cannot(house: House) -> None:
    await house.create()
    [leased] = await house.lease()
    lease_key = LeaseKey(leased.task_id, leased.attempt)
    assert await house.leases.withdraw([lease_key]) == 1
    _, running = leased, await house.again(leased)
    assert await house.leases.withdraw([running]) == 0


async def test_a_lease_lives_as_long_as_it_is_extended(house: House) -> None:
    task, lease_key = await house.running()
    for _ in range(3):
        await house.advance(10)
        assert await house.leases.extend({lease_key: AGENT}, TTL) == {lease_key}
        assert await house.leases.reap(limit=10, jitter=1) == []
    await house.advance(16)
    [reaped] = await house.leases.reap(limit=10, jitter=1)
    assert (reaped.lease_key, reaped.ended) == (lease_key, Ended.STALE)
    back = await house.get(task)
    assert (back.status, back.crashes, back.failures) == (Status.SCHEDULED, 1, 0)
    assert back.failure is not None
    assert back.failure.reason == "LEASE_LOST"
    assert not await house.complete(lease_key)


async def test_a_task_that_loses_its_agents_too_often_is_given_up(house: House) -> None:
    task, _ = await house.running(retry=RetryPolicy(max_retries=0))
    for crash in range(1, MAX_CRASHES + 1):
        await house.advance(20)
        await house.leases.reap(limit=10, jitter=1)
        assert (await house.get(task)).crashes == crash
        if crash < MAX_CRASHES:
            await house.again(task)
    lost = await house.get(task)
    assert lost.status is Status.FAILED
    assert lost.failure is not None
    assert (lost.failure.reason, lost.failure.retryable) == ("POISON", False)


async def test_an_attempt_that_takes_too_long_fails_and_is_retried(house: House) -> None:
    task, lease_key = await house.running(timeout=timedelta(seconds=30), retry=RetryPolicy(max_retries=1))
    for _ in range(3):
        await house.leases.extend({lease_key: AGENT}, timedelta(seconds=60))
        await house.advance(11)
    [reaped] = await house.leases.reap(limit=10, jitter=1)
    assert (reaped.ended, reaped.status, round(reaped.retry_in_s)) == (Ended.TIMED_OUT, Status.SCHEDULED, 5)
    late = await house.get(task)
    assert late.failure is not None
    assert (late.failure.reason, late.failures, late.crashes) == ("TIMED_OUT", 1, 0)
    assert (await house.leases.losses([lease_key]))[lease_key].ended is Ended.TIMED_OUT
    assert not await house.complete(lease_key)


async def test_the_reaper_works_in_batches(house: House) -> None:
    for _ in range(5):
        await house.create()
    await house.lease(*[AGENT] * 5)
    await house.advance(5)
    assert [len(await house.leases.reap(limit=2, jitter=1)) for _ in range(4)] == [2, 2, 1, 0]


# ---------------------------------------------------------------------- ends
async def test_a_completion_is_recorded_once_and_may_be_repeated(house: House) -> None:
    task, lease_key = await house.running()
    outcome = Outcome(lease_key, AGENT, result=Document(b'{"ok":true}'))
    [first] = await house.leases.settle([outcome])
    [again] = await house.leases.settle([outcome])
    assert (first.fresh, first.status) == (True, Status.COMPLETED)
    assert (again.fresh, again.status) == (False, Status.COMPLETED)
    done = await house.get(task)
    assert done.result == Document(b'{"ok":true}')
    assert done.finished_at is not None
    assert done.failure is None


async def test_a_failure_waits_longer_each_time_and_then_is_final(house: House) -> None:
    task, lease_key = await house.running(retry=RetryPolicy(max_retries=2))
    for wait_s in (5, 10):
        assert await house.fail(lease_key)
        waiting = await house.get(task)
        assert waiting.status is Status.SCHEDULED
        assert waiting.failure == Failure("BROKEN", "it broke", True, lease_key.attempt)
        await house.advance(wait_s - 1)
        assert await house.lease() == []
        await house.advance(1.5)
        lease_key = await house.again(task)
    assert await house.fail(lease_key)
    final = await house.get(task)
    assert (final.status, final.failures, final.attempt) == (Status.FAILED, 3, 3)


async def test_jitter_stretches_the_wait(house: House) -> None:
    _, lease_key = await house.running()
    failure = Failure("BROKEN", "", True, 1)
    [settled] = await house.leases.settle([Outcome(lease_key, AGENT, failure=failure, jitter=1.2)])
    assert settled.retry_in_s == pytest.approx(6.0, abs=0.01)


async def test_no_wait_exceeds_an_hour(house: House) -> None:
    policy = RetryPolicy(max_retries=9, initial_delay=timedelta(minutes=50), multiplier=10)
    task, lease_key = await house.running(retry=policy)
    await house.fail(lease_key)
    await house.advance(3001)
    lease_key = await house.again(task)
    failure = Failure("BROKEN", "", True, 2)
    [settled] = await house.leases.settle([Outcome(lease_key, AGENT, failure=failure)])
    assert settled.retry_in_s == pytest.approx(3600, abs=0.01)


async def test_a_permanent_failure_is_not_retried(house: House) -> None:
    task, lease_key = await house.running()
    await house.fail(lease_key, retryable=False)
    assert (await house.get(task)).status is Status.FAILED


async def test_a_recorded_failure_may_be_repeated_after_the_next_lease(house: House) -> None:
    task, lease_key = await house.running()
    await house.fail(lease_key)
    await house.advance(6)
    [leased] = await house.lease("agent_b")
    assert leased.attempt == 2
    failure = Failure("BROKEN", "it broke", True, 1)
    [again] = await house.leases.settle([Outcome(lease_key, AGENT, failure=failure)])
    assert not again.fresh
    assert (await house.get(task)).failures == 1


async def test_a_stale_completion_changes_nothing(house: House) -> None:
    task, lease_key = await house.running()
    await house.advance(16)
    await house.leases.reap(limit=10, jitter=1)
    [leased] = await house.lease("agent_b")
    newer = LeaseKey(leased.task_id, leased.attempt)
    await house.leases.accept([newer], "agent_b", TTL)
    assert not await house.complete(lease_key)
    assert not await house.fail(lease_key)
    assert await house.complete(newer, "agent_b")
    assert (await house.get(task)).attempt == 2


async def test_many_outcomes_are_settled_at_once(house: House) -> None:
    lease_keys = [(await house.running())[1] for _ in range(4)]
    outcomes = [
        Outcome(lease_keys[0], AGENT, result=Document()),
        Outcome(lease_keys[1], AGENT, failure=Failure("X", "", False, 1)),
        Outcome(LeaseKey(lease_keys[2].task_id, 7), AGENT, result=Document()),
        Outcome(lease_keys[3], AGENT, failure=Failure("X", "", True, 1)),
    ]
    settled = {end.lease_key: end.status for end in await house.leases.settle(outcomes)}
    assert settled == {lease_keys[0]: Status.COMPLETED, lease_keys[1]: Status.FAILED, lease_keys[3]: Status.SCHEDULED}


# ---------------------------------------------------------------------- reports
async def test_progress_checkpoint_and_lines_are_kept(house: House) -> None:
    task, lease_key = await house.running()
    before = await house.tasks.version(TENANT, task.task_id)
    await house.leases.report([Report(lease_key, AGENT, fraction=0.25, message="half of half", checkpoint=b"\x00\x01")])
    await house.leases.report([Report(lease_key, AGENT, lines=("one", "two"))])
    await house.leases.report([Report(lease_key, AGENT, lines=("three",))])
    seen = await house.get(task)
    assert seen.progress is not None
    assert (seen.progress.fraction, seen.progress.message, seen.checkpoint) == (0.25, "half of half", b"\x00\x01")
    lines = await house.tasks.lines(TENANT, task.task_id, after=0, limit=10)
    assert [(line.sequence, line.text, line.attempt) for line in lines] == [
        (1, "one", 1),
        (2, "two", 1),
        (3, "three", 1),
    ]
    assert [line.text for line in await house.tasks.lines(TENANT, task.task_id, after=1, limit=1)] == ["two"]
    assert await house.tasks.version(TENANT, task.task_id) != before


async def test_the_next_attempt_gets_the_checkpoint_and_starts_without_progress(house: House) -> None:
    task, lease_key = await house.running()
    await house.leases.report([Report(lease_key, AGENT, fraction=0.5, checkpoint=b"state")])
    await house.fail(lease_key)
    await house.advance(6)
    [leased] = await house.lease()
    assert (leased.checkpoint, leased.progress, leased.task_id) == (b"state", None, task.task_id)


async def test_a_task_keeps_its_last_lines(house: House) -> None:
    task, lease_key = await house.running()
    for start in range(0, MAX_LOG_LINES + 500, 1000):
        lines = tuple(str(number) for number in range(start + 1, start + 1001))
        await house.leases.report([Report(lease_key, AGENT, lines=lines)])
    kept = await house.tasks.lines(TENANT, task.task_id, after=0, limit=2 * MAX_LOG_LINES)
    assert len(kept) == MAX_LOG_LINES
    assert kept[0].text == str(kept[0].sequence) == "1001"


# ---------------------------------------------------------------------- by people
async def test_a_waiting_task_can_be_edited(house: House) -> None:
    task = await house.create(priority=1)
    before, after = await house.tasks.change(
        TENANT, task.task_id, lambda task, now: task.edit({"priority": 8, "input": Document(b'{"x":1}')}, now)
    )
    assert (before, after) == (task, await house.get(task))
    assert (after.spec.priority, after.spec.input.content()) == (8, {"x": 1})


async def test_an_edit_takes_an_offer_back(house: House) -> None:
    task = await house.create()
    await house.lease()
    await house.tasks.change(TENANT, task.task_id, lambda task, now: task.edit({"priority": 8}, now))
    assert await house.leases.accept([LeaseKey(task.task_id, 1)], AGENT, TTL) == set()
    assert [again.attempt for again in await house.lease()] == [2]


async def test_a_running_task_cannot_be_edited_or_deleted(house: House) -> None:
    task, lease_key = await house.running()
    with pytest.raises(TaskNotScheduled):
        await house.tasks.change(TENANT, task.task_id, lambda task, now: task.edit({"priority": 8}, now))
    with pytest.raises(TaskStillRunning):
        await house.tasks.delete(TENANT, task.task_id)
    assert await house.complete(lease_key)
    await house.tasks.delete(TENANT, task.task_id)
    with pytest.raises(TaskNotFound):
        await house.get(task)


async def test_cancelling_takes_the_lease_away_and_says_why(house: House) -> None:
    task, lease_key = await house.running()
    _, after = await house.tasks.change(TENANT, task.task_id, lambda task, now: task.cancel("not needed", now))
    assert after == await house.get(task)
    assert after.status is Status.CANCELLED
    assert not await house.complete(lease_key)
    loss = (await house.leases.losses([lease_key]))[lease_key]
    assert (loss.ended, loss.text) == (Ended.CANCELLED, "not needed")
    with pytest.raises(TaskAlreadyFinished):
        await house.tasks.change(TENANT, task.task_id, lambda task, now: task.cancel("", now))


async def test_a_deleted_task_takes_its_request_and_lines_along(house: House) -> None:
    task = await house.create(request_id="r1")
    [leased] = await house.lease()
    lease_key = LeaseKey(leased.task_id, 1)
    await house.leases.report([Report(lease_key, AGENT, lines=("one",))])
    await house.tasks.delete(TENANT, task.task_id)
    assert (await house.leases.losses([lease_key]))[lease_key].ended is Ended.STALE
    assert (await house.create(request_id="r1", description="another")).task_id != task.task_id


async def test_the_depth_of_the_queue_is_counted_up_to_a_limit(house: House) -> None:
    for _ in range(4):
        await house.create()
    await house.running()
    assert await house.tasks.queue_depth(100) == {Status.SCHEDULED: 4, Status.RUNNING: 1}
    assert (await house.tasks.queue_depth(2))[Status.SCHEDULED] == 2


# ---------------------------------------------------------------------- by services
async def test_a_lease_is_held_from_its_offer_to_its_end(house: House) -> None:
    task = await house.create(input=Document(b'{"secret":1}'))
    [leased] = await house.lease()
    lease_key = LeaseKey(task.task_id, leased.attempt)
    offered = await house.leases.held(lease_key)
    assert (offered.tenant_id, offered.spec.input.content(), offered.created_by) == (TENANT, {"secret": 1}, "user_1")
    await house.leases.accept([lease_key], AGENT, TTL)
    assert (await house.leases.held(lease_key)).status is Status.RUNNING
    await house.complete(lease_key)
    with pytest.raises(LeaseLost):
        await house.leases.held(lease_key)


async def test_an_earlier_attempt_holds_nothing(house: House) -> None:
    task, first = await house.running()
    await house.advance(TTL.total_seconds() + 1)
    await house.leases.reap(limit=10, jitter=1.0)
    second = await house.again(task)
    assert (await house.leases.held(second)).attempt == 2
    for stale in (first, LeaseKey(task.task_id, 3), LeaseKey("task_unknown", 1)):
        with pytest.raises(LeaseLost):
            await house.leases.held(stale)
