"""Contents of files that nothing refers to any more go; so do drafts that nobody came back to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.doc.domain.attachments.shelf import AttachmentShelf
from services.doc.domain.drafts.ports import DraftStore

AT_ONCE, ROUNDS = 100, 50
"""Bounded pieces of work of one kind in one clean-up."""


class AttachmentHousekeeping:
    """A clean-up every `every_s` seconds."""

    def __init__(self, shelf: AttachmentShelf, *, every_s: float) -> None:
        self._shelf, self._every_s = shelf, every_s

    async def step(self) -> None:
        """Cleans up, then waits."""
        await self.clean_up()
        await asyncio.sleep(self._every_s)

    async def clean_up(self) -> None:
        """What is left over waits for the next time."""
        await _until_done(lambda: self._shelf.discard_orphans(AT_ONCE))
        await _until_done(lambda: self._shelf.sweep(AT_ONCE))


class DraftHousekeeping:
    """A clean-up every `every_s` seconds: drafts untouched for `keep_for` go."""

    def __init__(self, drafts: DraftStore, *, keep_for: timedelta, every_s: float) -> None:
        self._drafts, self._keep_for, self._every_s = drafts, keep_for, every_s

    async def step(self) -> None:
        """Cleans up, then waits."""
        await self.clean_up()
        await asyncio.sleep(self._every_s)

    async def clean_up(self) -> None:
        """What is left over waits for the next time."""
        await _until_done(lambda: self._drafts.expire(self._keep_for, AT_ONCE))


async def _until_done(piece: Callable[[], Awaitable[int]]) -> None:
    for _ in range(ROUNDS):
        if not await piece():
            return
