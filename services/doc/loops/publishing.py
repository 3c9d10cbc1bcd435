"""Builds releases that are asked for, asks for those of merges, and forgets old ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.publishing.building import ReleaseMaker
from services.doc.domain.publishing.ports import AutoPublishing, ReleaseQueue, SiteContents

ROUNDS = 20
"""Bounded pieces of work of one kind in one clean-up."""


class Publishing:
    """One release after the other. `told` lets all who serve or watch sites know that something has happened."""

    def __init__(
        self, maker: ReleaseMaker, doorbell: Doorbell, told: Callable[[], Awaitable[None]], *, poll_every_s: float
    ) -> None:
        self._maker, self._doorbell, self._told, self._poll_every_s = maker, doorbell, told, poll_every_s

    async def step(self) -> None:
        """Builds one, or waits."""
        rung = self._doorbell.rung
        if await self._maker.step() is None:
            await self._doorbell.wait(rung, self._poll_every_s)
        else:
            self._doorbell.ring()
            await self._told()


class AutoPublish:
    """Merges publish: `quiet_s` after the last of several, `longest_s` after the first at the latest.

    It need not hurry, so it looks now and then; the doorbell it rings is that of releases.
    """

    def __init__(
        self, publishing: AutoPublishing, doorbell: Doorbell, *, quiet_s: float, longest_s: float, poll_every_s: float
    ) -> None:
        self._publishing, self._doorbell = publishing, doorbell
        self._quiet_s, self._longest_s, self._poll_every_s = quiet_s, longest_s, poll_every_s

    async def step(self) -> None:
        """Looks once, then waits."""
        await self._publishing.follow()
        if await self._publishing.ask(quiet_s=self._quiet_s, longest_s=self._longest_s):
            self._doorbell.ring()
        await asyncio.sleep(self._poll_every_s)


class SiteCleaning:
    """A clean-up every `every_s` seconds."""

    def __init__(self, queue: ReleaseQueue, contents: SiteContents, *, every_s: float) -> None:
        self._queue, self._contents, self._every_s = queue, contents, every_s

    async def step(self) -> None:
        """Cleans up, then waits."""
        for work in (self._queue.clean_up, self._contents.sweep):
            for _ in range(ROUNDS):
                if not await work():
                    break
        await asyncio.sleep(self._every_s)
