"""Search indexes follow the documents, and are built anew where they have to be."""

from __future__ import annotations

import asyncio

from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.search.following import IndexFollower
from services.doc.domain.search.ports import FollowingIndex

BREATH_S = 0.05
"""After a round that indexed something: what is written meanwhile is one round, with one commit."""
SOON_S = 0.01
"""After the doorbell has rung it is looked again so soon, then later and later."""


class IndexFeed:
    """For one index. `follow` and `build` are loops of their own: nobody waits while a tenant is built anew."""

    def __init__(
        self,
        follower: IndexFollower,
        doorbell: Doorbell,
        *,
        poll_every_s: float,
        rest_s: float = 0.0,
        first: FollowingIndex | None = None,
    ) -> None:
        self._follower, self._doorbell, self._first = follower, doorbell, first
        self._poll_every_s, self._rest_s = poll_every_s, rest_s
        self._heard, self._soon_s = 0, poll_every_s

    async def follow(self) -> None:
        """The next changes; waits when there are none. An index that stands by rests between: others come first."""
        rung = self._doorbell.rung
        if rung != self._heard:
            self._heard, self._soon_s = rung, SOON_S
        if not await self._follower.follow():
            await self._doorbell.wait(rung, min(self._soon_s, self._poll_every_s))
            self._soon_s *= 2  # a change may wait for a transaction that was open when it was written
            await asyncio.sleep(self._rest_s)
        else:
            await asyncio.sleep(max(self._rest_s, BREATH_S))

    async def build(self) -> None:
        """The next tenant; waits when there is none, or while the index that is to be built `first` has some."""
        waits = self._first is not None and bool(await self._first.unbuilt())
        if waits or not await self._follower.build():
            await asyncio.sleep(self._poll_every_s)
