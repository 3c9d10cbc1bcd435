"""Waiting for what something calls back about, with a limit: in the place of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Hand it over as a callback, then `await changes.until(lambda: ...)`."""

    def __init__(self, *, limit_s: float = 20.0) -> None:
        self._limit_s = limit_s
        self._event = asyncio.Event()

    def __call__(self, *_what: object) -> None:
        self._event.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Returns once `condition` holds after some call. Raises TimeoutError."""
        async with asyncio.timeout(self._limit_s):
            while not condition():
                self._event.clear()
                await self._event.wait()
