"""Watching a task: its state first, then changes and new lines, until it is finished."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from automesh.core.errors import Unavailable
from services.orchestrator.domain.errors import ReplicaStopping, TooManyWatchers
from services.orchestrator.domain.ports import TaskStore, Version
from services.orchestrator.domain.signals import Signal, Topic
from services.orchestrator.domain.task import FINISHED, LogLine, Task

MAX_WATCHERS = 2_000
MAX_LINES = 500
"""Lines in one message; at most 2 MiB of text."""


@dataclass(frozen=True, slots=True)
class TaskUpdate:
    """One look at a task; `sequence` is the last line seen."""

    task: Task
    lines: Sequence[LogLine]
    sequence: int


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: how often to look without a hint, how long to gather hints, how long to bear an absent database.

    Hints are gathered for `first_gather_s` after a quiet time, and ever longer, up to `gather_s`, while they keep
    coming: a short task is seen to end at once, and a busy one is looked at 20 times a second at most.
    """

    poll_s: float = 1.0
    first_gather_s: float = 0.005
    gather_s: float = 0.05
    patience_s: float = 30.0


class WatchHub:
    """Who waits for a change of which task, on this replica."""

    def __init__(self, *, limit: int = MAX_WATCHERS) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._count = 0
        self._limit = limit
        self.stopping = False

    @contextmanager
    def watching(self, task_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the task may have changed. Raises TooManyWatchers."""
        if self._count >= self._limit:
            raise TooManyWatchers(f"this replica serves {self._limit} watch streams already: poll with GetTask")
        event = asyncio.Event()
        self._waiting[task_id].add(event)
        self._count += 1
        try:
            yield event
        finally:
            self._count -= 1
            self._waiting[task_id].discard(event)
            if not self._waiting[task_id]:
                del self._waiting[task_id]

    def on_signal(self, signal: Signal) -> None:
        """A listener of Signals."""
        if signal.topic is Topic.TASK:
            self._wake(self._waiting.get(signal.task_id, ()))
        elif signal.topic is Topic.GAP:
            self.wake_all()

    def stop(self) -> None:
        """Ends all watches: their clients go on at another replica, from their cursors."""
        self.stopping = True
        self.wake_all()

    def wake_all(self) -> None:
        """Everybody should look."""
        for events in self._waiting.values():
            self._wake(events)

    @staticmethod
    def _wake(events: set[asyncio.Event] | tuple[()]) -> None:
        for event in events:
            event.set()


class Watch:
    """One watcher of one task. Looks when told to, and at least every `pace.poll_s`."""

    def __init__(
        self, store: TaskStore, hub: WatchHub, tenant_id: str, task_id: str, sequence: int, *, pace: Pace
    ) -> None:
        self._store = store
        self._hub = hub
        self._tenant_id = tenant_id
        self._task_id = task_id
        self._sequence = sequence
        self._pace = pace
        self._gather_s = pace.first_gather_s
        self._hinted = True
        self._seen: Version | None = None

    async def updates(self) -> AsyncGenerator[TaskUpdate, None]:
        """Every change, gathered. Raises TaskNotFound, also when the task is deleted meanwhile."""
        with self._hub.watching(self._task_id) as changed:
            while True:
                changed.clear()
                update = await self._patiently_look()
                if update is not None:
                    yield update
                    if _complete(update):
                        return
                if update is None or len(update.lines) < MAX_LINES:
                    await self._rest(changed)

    async def _patiently_look(self) -> TaskUpdate | None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._pace.patience_s
        while True:
            if self._hub.stopping:
                raise ReplicaStopping("this replica is stopping: watch again from the last cursor")
            try:
                return await self._look()
            except Unavailable:
                if self._seen is None or loop.time() > give_up_at:
                    raise
            await asyncio.sleep(self._pace.poll_s)

    async def _look(self) -> TaskUpdate | None:
        if not self._hinted and await self._is_as_seen():
            return None
        task = await self._store.get(self._tenant_id, self._task_id)
        version = Version(task.revision, task.log_sequence)
        if version == self._seen and self._sequence >= version.log_sequence:
            return None
        lines = await self._lines(version.log_sequence)
        self._seen = version
        return TaskUpdate(task, lines, self._sequence)

    async def _is_as_seen(self) -> bool:
        version = await self._store.version(self._tenant_id, self._task_id)
        return version == self._seen and self._sequence >= version.log_sequence

    async def _lines(self, last: int) -> Sequence[LogLine]:
        if last <= self._sequence:
            return ()
        lines = await self._store.lines(self._tenant_id, self._task_id, after=self._sequence, limit=MAX_LINES)
        self._sequence = lines[-1].sequence if lines else max(self._sequence, 0)
        if len(lines) < MAX_LINES:
            self._sequence = max(self._sequence, last)  # what is missing was forgotten
        return lines

    async def _rest(self, changed: asyncio.Event) -> None:
        await asyncio.sleep(self._gather_s)
        self._gather_s = min(self._gather_s * 2, self._pace.gather_s) if changed.is_set() else self._pace.first_gather_s
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.poll_s):
                await changed.wait()
        self._hinted = changed.is_set()


def _complete(update: TaskUpdate) -> bool:
    return update.task.status in FINISHED and len(update.lines) < MAX_LINES
