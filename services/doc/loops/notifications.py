"""Follows the changes of documents and tells of them; forgets what nobody reads any more."""

from __future__ import annotations

import asyncio
import time

from services.doc.domain.changes.change import Changes
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.notifications.changes import ChangeTeller, Gathered
from services.doc.domain.notifications.feed import FeedStore

AT_ONCE = 200
REST_S = 0.2
"""Between rounds that told of something: what comes meanwhile is one round."""
KEEP_DAYS, KEEP_MOST, PRUNED_AT_ONCE = 90, 1_000, 5_000


class Notifier:
    """One step tells of what there is, then waits for more."""

    def __init__(
        self,
        changes: Changes,
        teller: ChangeTeller,
        feeds: FeedStore,
        doorbell: Doorbell,
        *,
        poll_every_s: float,
        clean_every_s: float,
    ) -> None:
        self._changes, self._teller, self._feeds, self._doorbell = changes, teller, feeds, doorbell
        self._poll_every_s, self._clean_every_s, self._cleaned = poll_every_s, clean_every_s, 0.0

    async def step(self) -> None:
        """See the class."""
        since = self._doorbell.rung
        if await self.tell():
            await asyncio.sleep(REST_S)
            return
        if time.monotonic() - self._cleaned >= self._clean_every_s:
            self._cleaned = time.monotonic()
            await self._feeds.prune(KEEP_DAYS, KEEP_MOST, PRUNED_AT_ONCE)
        await self._doorbell.wait(since, self._poll_every_s)

    async def tell(self) -> bool:
        """Whether there was something; bounded."""
        reached = await self._teller.reached()
        notes = await self._changes.after(reached, AT_ONCE)
        if notes:
            await self._teller.tell(reached, notes[-1].sequence, Gathered(notes))
        return bool(notes)
