"""The trash is emptied; bodies that nothing refers to, old request ids and old lines of the outbox go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from services.doc.domain.changes.change import Changes
from services.doc.domain.documents.ports import DocumentStore

KEEP_CHANGES_DAYS = 7
KEEP_REQUESTS_DAYS = 7
PURGED_AT_ONCE, SWEPT_AT_ONCE = 100, 500
ROUNDS = 50
"""Bounded pieces of work of one kind in one clean-up."""


class Housekeeping:
    """A clean-up every `every_s` seconds."""

    def __init__(self, documents: DocumentStore, changes: Changes, *, every_s: float) -> None:
        self._documents, self._changes, self._every_s = documents, changes, every_s

    async def step(self) -> None:
        """Cleans up, then waits."""
        await self.clean_up()
        await asyncio.sleep(self._every_s)

    async def clean_up(self) -> None:
        """Bounded work; what is left over waits for the next time."""
        await _until_done(lambda: self._documents.purge(PURGED_AT_ONCE))
        await _until_done(lambda: self._documents.sweep(SWEPT_AT_ONCE))
        await _until_done(lambda: self._documents.forget_requests(KEEP_REQUESTS_DAYS))
        await _until_done(lambda: self._changes.prune(KEEP_CHANGES_DAYS))


async def _until_done(clean: Callable[[], Awaitable[int]]) -> None:
    for _ in range(ROUNDS):
        if not await clean():
            return
