"""The blob store as upkeep needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from automesh.storage.blobs import BlobStore


class StoredBlobs:
    """A services.model.domain.upkeep.RemovableBlobs."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def delete(self, name: str) -> None:
        """One that is not there is no error."""
        await self._blobs.delete(name)

    async def below(self, folder: str) -> AsyncIterator[str]:
        """Names of all blobs in a folder."""
        async for entry in self._blobs.list(folder):
            yield entry.name
