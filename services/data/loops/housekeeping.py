"""What goes on by itself: tasks are followed; old uploads, blobs and request ids go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.data.domain.follower import BATCH, TaskFollower
from services.data.domain.ports import BlobLedger, Blobs, UploadStore, VersionStore

REMEMBER_REQUESTS = timedelta(hours=24)
EXPIRED_AT_ONCE, SWEPT_AT_ONCE = 100, 100
ROUNDS = 50
"""Bounded pieces of work of one kind in one clean-up."""


class Reconciler:
    """A round every `every_s` seconds; at once another one while there is more than a batch to follow."""

    def __init__(self, follower: TaskFollower, *, every_s: float = 5.0) -> None:
        self._follower = follower
        self._every_s = every_s

    async def step(self) -> None:
        """Follows, then waits."""
        if await self._follower.follow() < BATCH:
            await asyncio.sleep(self._every_s)


class Housekeeping:
    """A clean-up every `every_s` seconds."""

    def __init__(
        self, uploads: UploadStore, versions: VersionStore, ledger: BlobLedger, blobs: Blobs, *, every_s: float = 60.0
    ) -> None:
        self._uploads, self._versions = uploads, versions
        self._ledger, self._blobs = ledger, blobs
        self._every_s = every_s

    async def step(self) -> None:
        """Cleans up, then waits."""
        await self.clean_up()
        await asyncio.sleep(self._every_s)

    async def clean_up(self) -> None:
        """Bounded work; what is left over waits for the next time."""
        await _until_done(lambda: self._versions.forget_requests(REMEMBER_REQUESTS))
        await _until_done(lambda: self._uploads.expire(EXPIRED_AT_ONCE))
        await _until_done(self.sweep)

    async def sweep(self) -> int:
        """Deletes blobs that nothing refers to; returns how many."""
        blobs = await self._ledger.discarded(SWEPT_AT_ONCE)
        for blob in blobs:
            await self._blobs.delete(blob)
        await self._ledger.swept(blobs)
        return len(blobs)


async def _until_done(piece: Callable[[], Awaitable[int]]) -> None:
    for _ in range(ROUNDS):
        if not await piece():
            return
