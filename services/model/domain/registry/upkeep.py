"""Finishes what deletions began: removes blobs, and lets the data service know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta
from typing import Protocol

from services.model.domain.registry.ports import Datasets

AGAIN_IN = timedelta(minutes=1)
FOLDER_END = "/"


class Discards(Protocol):
    """What is left to do, durably."""

    async def blobs(self, limit: int) -> Sequence[str]:
        """Blobs to be removed now; one that ends in "/" is a folder."""
        ...

    async def swept(self, blobs: Collection[str]) -> None:
        """They are removed."""
        ...

    async def released(self, *, limit: int, again_in: timedelta) -> Sequence[tuple[str, str]]:
        """(tenant, model) of deleted models that the data service was not told of; each comes again later."""
        ...

    async def told(self, model_id: str) -> None:
        """It knows now."""
        ...


class RemovableBlobs(Protocol):
    """Blobs that can be removed."""

    async def delete(self, name: str) -> None:
        """One that is not there is no error."""
        ...

    def below(self, folder: str) -> AsyncIterator[str]:
        """Names of all blobs in a folder."""
        ...


class Upkeep:
    """Small bounded pieces of work, for a loop."""

    def __init__(self, discards: Discards, blobs: RemovableBlobs, datasets: Datasets) -> None:
        self._discards = discards
        self._blobs = blobs
        self._datasets = datasets

    async def sweep(self, limit: int = 100) -> int:
        """Removes blobs and folders that nothing points at; returns how many entries."""
        names = await self._discards.blobs(limit)
        for name in names:
            if name.endswith(FOLDER_END):
                async for blob in self._blobs.below(name.removesuffix(FOLDER_END)):
                    await self._blobs.delete(blob)
            else:
                await self._blobs.delete(name)
        await self._discards.swept(names)
        return len(names)

    async def release(self, limit: int = 100) -> int:
        """Tells the data service of deleted models; returns how many. One it cannot be told of now comes again."""
        released = await self._discards.released(limit=limit, again_in=AGAIN_IN)
        for tenant_id, model_id in released:
            await self._datasets.release(tenant_id, model_id)
            await self._discards.told(model_id)
        return len(released)
