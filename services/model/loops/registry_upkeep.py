"""Finishes what the registry began: requests for aliases, files and datasets of deleted models, old history."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.model.domain.registry.promotion import Promotion
from services.model.domain.registry.upkeep import Upkeep
from services.model.domain.webhooks.ports import DeliveryStore

KEEP_DELIVERIES = timedelta(days=30)
FORGET_AT_ONCE = 1000
ROUNDS = 20
"""Bounded pieces of work of one kind in one round."""
CLEAN_EVERY = 15
"""Rounds between two clean-ups."""


class RegistryUpkeep:
    """One round every `every_s` seconds."""

    def __init__(
        self, promotion: Promotion, upkeep: Upkeep, deliveries: DeliveryStore, *, every_s: float = 2.0
    ) -> None:
        self._promotion = promotion
        self._upkeep = upkeep
        self._deliveries = deliveries
        self._every_s = every_s
        self._rounds = 0

    async def step(self) -> None:
        """Waits, then works."""
        await asyncio.sleep(self._every_s)
        await _until_done(self._promotion.settle_due)
        await _until_done(self._upkeep.release)
        if self._rounds % CLEAN_EVERY == 0:
            await _until_done(self._upkeep.sweep)
            await _until_done(lambda: self._deliveries.forget(KEEP_DELIVERIES, limit=FORGET_AT_ONCE))
        self._rounds += 1


async def _until_done(piece: Callable[[], Awaitable[int]]) -> None:
    for _ in range(ROUNDS):
        if not await piece():
            return
