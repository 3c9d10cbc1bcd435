"""Samples the queue and forgets what is old: request ids, agents long gone, blobs nothing points at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.orchestrator.domain.ports import AgentStore, Meter, TaskStore
from services.orchestrator.domain.shelf import ArtifactShelf

REMEMBER_REQUESTS = timedelta(hours=24)
REMEMBER_AGENTS = timedelta(days=30)
COUNT_LIMIT = 100_000
"""Beyond this the depth of the queue is not counted on."""
CLEAN_EVERY = 4
"""Samples between two clean-ups."""
ROUNDS = 50
"""Bounded pieces of work of one kind in one clean-up: more than a busy installation makes meanwhile."""


class Housekeeping:
    """One sample every `every_s` seconds, a clean-up every few samples."""

    def __init__(
        self, tasks: TaskStore, agents: AgentStore, shelf: ArtifactShelf, meter: Meter, *, every_s: float = 15.0
    ) -> None:
        self._tasks = tasks
        self._agents = agents
        self._shelf = shelf
        self._meter = meter
        self._every_s = every_s
        self._samples = 0

    async def step(self) -> None:
        """Samples, cleans up when it is time, then waits."""
        self._meter.depth(await self._tasks.queue_depth(COUNT_LIMIT))
        if self._samples % CLEAN_EVERY == 0:
            await self.clean_up()
        self._samples += 1
        await asyncio.sleep(self._every_s)

    async def clean_up(self) -> None:
        """Bounded work; what is left over waits for the next time."""
        await self._agents.forget(REMEMBER_AGENTS)
        await _until_done(lambda: self._tasks.forget_requests(REMEMBER_REQUESTS))
        await _until_done(self._shelf.sweep)


async def _until_done(piece: Callable[[], Awaitable[int]]) -> None:
    for _ in range(ROUNDS):
        if not await piece():
            return
