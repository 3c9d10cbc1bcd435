"""How much may wait in a room: whoever brings more waits with it, and so does their stream."""

from __future__ import annotations

import asyncio

MAX_WAITING, MAX_WAITING_BYTES = 256, 4 * 1024**2


class WaitingRoom:
    """Counts what waits. One thing is always let in, however large."""

    def __init__(self, *, most: int = MAX_WAITING, most_bytes: int = MAX_WAITING_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._count = self._bytes = 0
        self._left = asyncio.Condition()

    async def enter(self, size: int) -> None:
        """Waits while there is too much."""
        async with self._left:
            await self._left.wait_for(lambda: self._has_place(size))
            self._count += 1
            self._bytes += size

    async def leave(self, count: int, size: int) -> None:
        """So many things of so many bytes have been taken."""
        async with self._left:
            self._count -= count
            self._bytes -= size
            self._left.notify_all()

    def _has_place(self, size: int) -> bool:
        return not self._count or (self._count < self._most and self._bytes + size <= self._most_bytes)
