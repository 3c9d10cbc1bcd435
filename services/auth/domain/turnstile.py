"""One at a time per key, so that guesses at one account cannot overtake the count of their failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from automesh.core.errors import Exhausted


@dataclass(slots=True)
class _Gate:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    visitors: int = 0


class Turnstile:
    """At most `limit` visitors in all, waiting or inside; more raise Exhausted."""

    def __init__(self, *, limit: int = 64) -> None:
        self._gates: dict[str, _Gate] = {}
        self._limit = limit
        self._visitors = 0

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Waits until nobody else of the key is inside."""
        if self._visitors >= self._limit:
            raise Exhausted(
                "too many people are signing in at this moment: try again", retry_after=timedelta(seconds=1)
            )
        gate = self._gates.setdefault(key, _Gate())
        self._visitors += 1
        gate.visitors += 1
        try:
            async with gate.lock:
                yield
        finally:
            self._visitors -= 1
            gate.visitors -= 1
            if gate.visitors == 0:
                del self._gates[key]
