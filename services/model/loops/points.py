"""Removes points that are too old, or too many."""

from __future__ import annotations

from datetime import timedelta

from services.model.domain.runs.ports import RunStore

LIMIT = 10_000
ROUNDS = 50
"""Bounded pieces of work in one round: more than a busy installation makes meanwhile."""


class PointRetention:
    """One round is `step`."""

    def __init__(self, store: RunStore, *, ended_for: timedelta, keep: int) -> None:
        self._store = store
        self._ended_for = ended_for
        self._keep = keep

    async def step(self) -> None:
        """What is left over waits for the next time."""
        for _ in range(ROUNDS):
            if not await self._store.forget_points(ended_for=self._ended_for, keep=self._keep, limit=LIMIT):
                return
