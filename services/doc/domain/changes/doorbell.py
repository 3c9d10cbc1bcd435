"""Wakes the loops of this process when something was written here, so that they need not wait for their next look."""

from __future__ import annotations

import asyncio


class Doorbell:
    """Rings for all who wait; whoever was busy hears it at the next wait."""

    def __init__(self) -> None:
        self._rung = 0
        self._event = asyncio.Event()

    @property
    def rung(self) -> int:
        """How often so far: read it before looking, and wait from there."""
        return self._rung

    def ring(self) -> None:
        """Something was written."""
        self._rung += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, since: int, timeout_s: float) -> None:
        """Returns at once when it has rung after `since`, else with the next ring or when the time is up."""
        if self._rung != since:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return
