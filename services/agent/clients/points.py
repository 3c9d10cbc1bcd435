"""Sends the points of a training on their way, in batches, so that the trainer never waits for the network."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any

from services.agent.domain.program import Points

MAX_BATCH = 1000
MAX_WAITING = 50_000  # points; then whoever adds more has to wait

Send = Callable[[int, Points, Mapping[str, Any] | None], Awaitable[None]]
"""Number of the batch, its points, and the environment where it is due. Sends until it is heard."""


class PointReporter:
    """`run` sends; the others may be called meanwhile."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._points: deque[Mapping[str, Any]] = deque()
        self._progress: Mapping[str, Any] | None = None
        self._environment: Mapping[str, Any] | None = None
        self._sending = False
        self._changed = asyncio.Condition()

    async def add(self, said: Points) -> None:
        """Waits only while far too many points wait."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._points) < MAX_WAITING)
            self._points.extend(said.points)
            self._progress = said.progress or self._progress
            self._changed.notify_all()

    async def describe(self, environment: Mapping[str, Any]) -> None:
        """Hardware, libraries and digests."""
        async with self._changed:
            self._environment = environment
            self._changed.notify_all()

    async def flush(self) -> None:
        """Until all is sent."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._sending and not self._due)

    async def run(self) -> None:
        """Until cancelled; raises what `send` raises."""
        for batch in count(1):
            async with self._changed:
                await self._changed.wait_for(lambda: self._due)
                points, environment = self._taken()
                self._sending = True
            await self._send(batch, points, environment)
            async with self._changed:
                self._sending = False
                self._changed.notify_all()

    @property
    def _due(self) -> bool:
        return bool(self._points) or self._progress is not None or self._environment is not None

    def _taken(self) -> tuple[Points, Mapping[str, Any] | None]:
        points = [self._points.popleft() for _ in range(min(MAX_BATCH, len(self._points)))]
        progress, environment = self._progress, self._environment
        self._progress = self._environment = None
        return Points(tuple(points), progress or {}), environment
