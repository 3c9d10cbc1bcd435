"""What was counted in memory is written; what was written is rolled up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from automesh.core.clock import Clock
from services.doc.domain.analytics.ports import RollUp
from services.doc.domain.analytics.recorder import WRITTEN_AT_ONCE, Recorder

ROUNDS = 50
"""Bounded pieces of work of one kind in one clean-up."""
KEEP_QUERIES = 500
"""By name, of each space and day."""
SHOWN_FOR = timedelta(days=800)
"""Longer than any figure goes back (730 days), by whole months."""


class AnalyticsWriter:
    """Writes every `every_s` seconds what waits in memory; at once while there is more than a batch."""

    def __init__(self, recorder: Recorder, *, every_s: float) -> None:
        self._recorder, self._every_s = recorder, every_s

    async def step(self) -> None:
        """Writes, then waits."""
        if await self._recorder.write() < WRITTEN_AT_ONCE:
            await asyncio.sleep(self._every_s)


class Forgetting:
    """Looks every `every_s` seconds whether a space that stores no person has persons still, and forgets them."""

    def __init__(self, rollup: RollUp, *, every_s: float) -> None:
        self._rollup, self._every_s = rollup, every_s

    async def step(self) -> None:
        """Forgets, then waits."""
        await _until_done(self._rollup.forget_persons)
        await asyncio.sleep(self._every_s)


class AnalyticsRollUp:
    """A round every `every_s` seconds. `searches_for`, `days_for`: how long each search, each day is kept by itself."""

    def __init__(
        self, rollup: RollUp, *, clock: Clock, searches_for: timedelta, days_for: timedelta, every_s: float
    ) -> None:
        self._rollup, self._clock = rollup, clock
        self._searches_for, self._days_for, self._every_s = searches_for, days_for, every_s

    async def step(self) -> None:
        """Rolls up, then waits."""
        await self.roll_up()
        await asyncio.sleep(self._every_s)

    async def roll_up(self) -> None:
        """What is left over waits for the next time."""
        now, rollup = self._clock(), self._rollup
        today = now.date()
        folded = today - self._days_for
        await _until_done(lambda: rollup.forget_days(today))
        await _until_done(lambda: rollup.fold_searches(now - self._searches_for))
        await _until_done(lambda: rollup.fold_days(folded))
        await _until_done(lambda: rollup.trim_queries(today, KEEP_QUERIES, folded=folded))
        await _until_done(lambda: rollup.forget(today - SHOWN_FOR))


async def _until_done(piece: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(ROUNDS):
        if not await piece():
            return
