"""A BlobStore in memory, with a switch that takes it away."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from datetime import UTC, datetime

from automesh.storage.blobs import BlobEntry, BlobInfo, BlobNotFound, BlobStoreUnavailable, check_name
from automesh.storage.sealed_stream import CHUNK_BYTES


class FakeBlobStore:
    """An automesh.storage.blobs.BlobStore that keeps plain bytes in `blobs`."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.available = True
        self._modified_at: dict[str, datetime] = {}

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> BlobInfo:
        self._check(name)
        content = b"".join([chunk async for chunk in chunks])
        self.blobs[name] = content
        self._modified_at[name] = datetime.now(UTC)
        return BlobInfo(len(content), hashlib.sha256(content).hexdigest())

    async def get(self, name: str) -> AsyncIterator[bytes]:
        self._check(name)
        if name not in self.blobs:
            raise BlobNotFound(f"there is no blob {name}", name=name)
        content = self.blobs[name]
        for start in range(0, len(content), CHUNK_BYTES):
            yield content[start : start + CHUNK_BYTES]

    async def delete(self, name: str) -> None:
        self._check(name)
        self.blobs.pop(name, None)

    async def list(self, prefix: str = "") -> AsyncIterator[BlobEntry]:
        self._check(prefix or "all")
        for name in [name for name in self.blobs if not prefix or name.startswith(f"{prefix}/")]:
            yield BlobEntry(name, len(self.blobs[name]), self._modified_at[name])

    def _check(self, name: str) -> None:
        check_name(name)
        if not self.available:
            raise BlobStoreUnavailable(f"the blob store failed at {name}", name=name)
