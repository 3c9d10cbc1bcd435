"""Rooms that were left by a process that is gone are cut; those that nobody uses are forgotten."""

from __future__ import annotations

import asyncio
import time

import structlog

from automesh.core.errors import AutomationError
from services.doc.domain.editing.rooms import EditingRooms

log = structlog.get_logger(__name__)


class LeftRooms:
    """A look every `every_s` seconds, and a clean-up every `clean_every_s`."""

    def __init__(self, rooms: EditingRooms, *, every_s: float, clean_every_s: float) -> None:
        self._rooms, self._every_s, self._clean_every_s = rooms, every_s, clean_every_s
        self._cleaned = time.monotonic()

    async def step(self) -> None:
        """Looks, then waits."""
        await self._rooms.settle()
        if time.monotonic() - self._cleaned >= self._clean_every_s:
            self._cleaned = time.monotonic()
            await self._rooms.forget()
        await asyncio.sleep(self._every_s)


def trouble(room_id: str, error: Exception) -> None:
    """Writes down why a room has to wait, or what failed in it."""
    if isinstance(error, AutomationError):
        log.info("a room has to wait", room_id=room_id, reason=error.reason, error=error.message)
    else:
        log.error("something failed in a room", room_id=room_id, exc_info=error)
