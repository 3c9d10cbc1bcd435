"""Watching a task on the fake store: hints, polling, bounds, and an absent database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from automesh.core.errors import Unavailable
from services.orchestrator.domain.document import Document
from services.orchestrator.domain.errors import ReplicaStopping, TaskNotFound, TooManyWatchers
from services.orchestrator.domain.lease import LeaseKey, LeaseRequest, Outcome, Report
from services.orchestrator.domain.ports import Version
from services.orchestrator.domain.signals import Signal, Topic
from services.orchestrator.domain.spec import NewTask
from services.orchestrator.domain.task import Draft, Status, Task
from services.orchestrator.domain.watching import MAX_LINES, Pace, TaskUpdate, Watch, WatchHub
from services.orchestrator.fakes.task_store import FakeTaskStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = Pace(poll_s=0.02, gather_s=0.001, patience_s=5)
LEASE = LeaseKey("task_1", 1)


class Store(FakeTaskStore):
    """A fake that can be away."""

    away = False

    async def version(self, tenant_id: str, task_id: str) -> Version:
        if self.away:
            raise Unavailable("away")
        return await super().version(tenant_id, task_id)

    async def get(self, tenant_id: str, task_id: str) -> Task:
        if self.away:
            raise Unavailable("away")
        return await super().get(tenant_id, task_id)


@pytest.fixture
async def store() -> Store:
    """One running task."""
    store = Store(lambda: NOW, types={("", "noop")})
    draft = Draft(task_id="task_1", tenant_id="acme", spec=NewTask(type="noop"))
    await store.create(draft, request_id="", queue_limit=9)
    await store.lease(LeaseRequest(("noop",), "", ("a",)), timedelta(seconds=9))
    await store.accept([LEASE], "a", timedelta(seconds=9))
    return store


def watch(store: Store, hub: WatchHub, *, sequence: int = 0, pace: Pace = QUICK) -> Watch:
    return Watch(store, hub, "acme", "task_1", sequence, pace=pace)


async def finish(store: Store) -> None:
    await store.settle([Outcome(LEASE, "a", result=Document())])


async def next_of(updates: AsyncIterator[TaskUpdate]) -> TaskUpdate:
    return await asyncio.wait_for(anext(updates), 5)


async def test_the_state_comes_first_and_the_watch_ends_with_the_task(store: Store) -> None:
    updates = watch(store, WatchHub()).updates()
    assert (await next_of(updates)).task.status is Status.RUNNING
    await finish(store)
    assert (await next_of(updates)).task.status is Status.COMPLETED
    with pytest.raises(StopAsyncIteration):
        await next_of(updates)


async def test_a_hint_is_quicker_than_the_poll(store: Store) -> None:
    hub = WatchHub()
    updates = watch(store, hub, pace=Pace(poll_s=60, gather_s=0.001)).updates()
    await next_of(updates)
    waiting = asyncio.create_task(next_of(updates))
    await asyncio.sleep(0)
    await finish(store)
    hub.on_signal(Signal(Topic.TASK, task_id="another"))
    hub.on_signal(Signal(Topic.TASK, task_id="task_1"))
    assert (await waiting).task.status is Status.COMPLETED
    await updates.aclose()


async def test_many_lines_come_in_portions_and_none_twice(store: Store) -> None:
    count = 2 * MAX_LINES + 7
    await store.report([Report(LEASE, "a", lines=tuple(str(number) for number in range(count)))])
    await finish(store)
    portions = [update.lines async for update in watch(store, WatchHub()).updates()]
    assert [len(lines) for lines in portions] == [MAX_LINES, MAX_LINES, 7]
    assert [line.text for lines in portions for line in lines] == [str(number) for number in range(count)]


async def test_a_cursor_skips_what_was_seen(store: Store) -> None:
    await store.report([Report(LEASE, "a", lines=("one", "two"))])
    await finish(store)
    [update] = [update async for update in watch(store, WatchHub(), sequence=1).updates()]
    assert [line.text for line in update.lines] == ["two"]
    assert update.sequence == 2


async def test_a_cursor_beyond_the_end_is_harmless(store: Store) -> None:
    await finish(store)
    [update] = [update async for update in watch(store, WatchHub(), sequence=99).updates()]
    assert list(update.lines) == []


async def test_an_unknown_task_is_not_found(store: Store) -> None:
    with pytest.raises(TaskNotFound):
        await next_of(Watch(store, WatchHub(), "globex", "task_1", 0, pace=QUICK).updates())


async def test_a_watch_outlives_an_absent_database(store: Store) -> None:
    updates = watch(store, WatchHub()).updates()
    await next_of(updates)
    store.away = True
    waiting = asyncio.create_task(next_of(updates))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    await finish(store)
    store.away = False
    assert (await waiting).task.status is Status.COMPLETED
    await updates.aclose()


async def test_a_watch_does_not_outlive_it_for_ever(store: Store) -> None:
    updates = watch(store, WatchHub(), pace=Pace(poll_s=0.01, gather_s=0.001, patience_s=0.05)).updates()
    await next_of(updates)
    store.away = True
    with pytest.raises(Unavailable):
        await next_of(updates)


async def test_a_watch_that_cannot_begin_says_so_at_once(store: Store) -> None:
    store.away = True
    with pytest.raises(Unavailable):
        await next_of(watch(store, WatchHub()).updates())


async def test_a_stopping_replica_ends_its_watches(store: Store) -> None:
    hub = WatchHub()
    updates = watch(store, hub, pace=Pace(poll_s=60, gather_s=0.001)).updates()
    await next_of(updates)
    waiting = asyncio.create_task(next_of(updates))
    await asyncio.sleep(0)
    hub.stop()
    with pytest.raises(ReplicaStopping):
        await waiting


async def test_watchers_are_bounded_and_make_room_when_they_leave(store: Store) -> None:
    hub = WatchHub(limit=1)
    first = watch(store, hub).updates()
    await next_of(first)
    with pytest.raises(TooManyWatchers):
        await next_of(watch(store, hub).updates())
    await first.aclose()
    updates = watch(store, hub).updates()
    await next_of(updates)
    await updates.aclose()
