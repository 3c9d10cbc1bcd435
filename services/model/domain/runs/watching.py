"""Watching a run: how it stands first, then its points in batches and every change, until it has ended."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from automesh.core.errors import Unavailable
from services.model.domain.runs.errors import ReplicaStopping, TooManyWatchers
from services.model.domain.runs.ports import RunStore, Stamp
from services.model.domain.runs.progress import MetricPoint
from services.model.domain.runs.run import ENDED, Run
from services.model.domain.runs.signals import GAP

MAX_WATCHERS = 2_000
MAX_POINTS = 1_000
"""Points in one message."""
MAX_BEHIND = 20_000
"""A reader that has caught up once, and falls further behind than this, loses the oldest points."""


@dataclass(frozen=True, slots=True)
class RunSight:
    """One look at a run; `sequence` is the last point seen, `dropped` counts those left out before `points`."""

    run: Run
    points: Sequence[MetricPoint]
    sequence: int
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class WatchPace:
    """Seconds: how often to look without a hint, how long to gather hints, how long to bear an absent database."""

    poll_s: float = 1.0
    gather_s: float = 0.05
    patience_s: float = 30.0
    max_points: int = MAX_POINTS
    max_behind: int = MAX_BEHIND


class WatchHub:
    """Who waits for a change of which run, on this replica."""

    def __init__(self, *, limit: int = MAX_WATCHERS) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._limit = limit
        self._none = asyncio.Event()
        self._none.set()
        self.watchers = 0
        self.stopping = False

    @contextmanager
    def watching(self, run_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the run may have changed. Raises TooManyWatchers."""
        if self.watchers >= self._limit:
            raise TooManyWatchers(f"this replica serves {self._limit} watch streams already: poll with GetRun")
        event = asyncio.Event()
        self._waiting[run_id].add(event)
        self.watchers += 1
        self._none.clear()
        try:
            yield event
        finally:
            self.watchers -= 1
            if not self.watchers:
                self._none.set()
            self._waiting[run_id].discard(event)
            if not self._waiting[run_id]:
                del self._waiting[run_id]

    async def gone(self) -> None:
        """Returns once nobody watches."""
        await self._none.wait()

    def on_signal(self, run_id: str) -> None:
        """A listener of RunSignals."""
        if run_id == GAP:
            self.wake_all()
        for event in self._waiting.get(run_id, ()):
            event.set()

    def stop(self) -> None:
        """Ends all watches: their clients go on at another replica, from the last sequence they saw."""
        self.stopping = True
        self.wake_all()

    def wake_all(self) -> None:
        """Everybody should look."""
        for events in self._waiting.values():
            for event in events:
                event.set()


class RunWatch:
    """One watcher of one run. Holds one batch of points at most; the rest stays where it is recorded."""

    def __init__(
        self, store: RunStore, hub: WatchHub, tenant_id: str, run_id: str, sequence: int, *, pace: WatchPace
    ) -> None:
        self._store = store
        self._hub = hub
        self._tenant_id = tenant_id
        self._run_id = run_id
        self._sequence = sequence
        self._pace = pace
        self._caught_up = False
        self._seen: Stamp | None = None

    async def sights(self) -> AsyncGenerator[RunSight, None]:
        """Raises RunNotFound, also when the run is deleted meanwhile."""
        with self._hub.watching(self._run_id) as changed:
            first = await self._first()
            yield first
            while not self._complete(first):
                changed.clear()
                sight = await self._patiently_look()
                if sight is not None:
                    yield sight
                    if self._complete(sight):
                        return
                if sight is None or self._sequence >= sight.run.last_sequence:
                    self._caught_up = True
                    await self._rest(changed)

    async def _first(self) -> RunSight:
        run = await self._store.get(self._tenant_id, self._run_id)
        self._seen = Stamp(run.revision, run.last_sequence)
        return RunSight(run, (), self._sequence)

    def _complete(self, sight: RunSight) -> bool:
        return sight.run.state in ENDED and self._sequence >= sight.run.last_sequence

    async def _patiently_look(self) -> RunSight | None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._pace.patience_s
        while True:
            if self._hub.stopping:
                raise ReplicaStopping("this replica is stopping: watch again from the last sequence")
            try:
                return await self._look()
            except Unavailable:
                if loop.time() > give_up_at:
                    raise
            await asyncio.sleep(self._pace.poll_s)

    async def _look(self) -> RunSight | None:
        """None when nothing is new. An end comes with, or after, the last point: they are recorded before it."""
        stamp = await self._store.stamp(self._tenant_id, self._run_id)
        if stamp == self._seen and self._sequence >= stamp.last_sequence:
            return None
        run = await self._store.get(self._tenant_id, self._run_id)
        dropped = self._fall_behind(run.last_sequence)
        points = await self._next_points(run.last_sequence)
        self._seen = Stamp(run.revision, run.last_sequence)
        return RunSight(run, points, self._sequence, dropped)

    def _fall_behind(self, last: int) -> int:
        """How many points are left out so that the reader comes within reach of the last ones."""
        excess = last - self._sequence - self._pace.max_behind
        if not self._caught_up or excess <= 0:
            return 0
        self._sequence += excess
        return excess

    async def _next_points(self, last: int) -> Sequence[MetricPoint]:
        if last <= self._sequence:
            return ()
        points = await self._store.points(
            self._tenant_id, self._run_id, after=self._sequence, limit=self._pace.max_points
        )
        self._sequence = points[-1].sequence if points else last  # what is missing was forgotten
        return points

    async def _rest(self, changed: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.poll_s):
                await changed.wait()
                await asyncio.sleep(self._pace.gather_s)  # so that a busy run is looked at 20 times a second at most
