"""Carries deliveries to webhooks, many at a time; a slow or dead receiver takes one place and holds up nobody else."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from automesh.core.errors import AutomationError
from automesh.core.webhooks import Claimed, Courier

log = structlog.get_logger(__name__)

PLACES = 32
POLL_S = 1.0


class Deliveries:
    """One step takes what is due, as far as there are places, and waits for a moment or for a place."""

    def __init__(self, courier: Courier, *, places: int = PLACES, poll_s: float = POLL_S) -> None:
        self._courier = courier
        self._places = places
        self._poll_s = poll_s
        self._under_way: set[asyncio.Task[None]] = set()

    async def step(self) -> None:
        """Raises what the database raises; tries that are under way go on."""
        free = self._places - len(self._under_way)
        taken = await self._courier.take(free) if free else ()
        for claimed in taken:
            task = asyncio.create_task(self._carry(claimed), name=f"deliver {claimed.delivery_id}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        await self._pause()

    async def close(self) -> None:
        """Stops what is under way; another replica, or the next process, tries it again."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pause(self) -> None:
        """Until something ended, since the same webhook may have more to come; else for a moment."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self._poll_s, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(self._poll_s)

    async def _carry(self, claimed: Claimed) -> None:
        with suppress(AutomationError):  # the database is away: the hold runs out, and the try counts as one
            delivery = await self._courier.carry(claimed)
            if delivery is not None and delivery.last_error:
                log.info(
                    "a webhook was not delivered",
                    webhook_id=claimed.webhook_id,
                    delivery_id=claimed.delivery_id,
                    attempt=claimed.attempt,
                    state=delivery.state,
                    error=delivery.last_error,
                )
