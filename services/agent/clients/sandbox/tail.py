"""The last bytes of a stream, however much it carries."""

from __future__ import annotations

import asyncio

CHUNK_BYTES = 64 * 1024


class Tail:
    """Reads a stream to its end and keeps the last `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.total = 0

    async def drain(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(CHUNK_BYTES):
            self.total += len(chunk)
            self._kept += chunk
            if len(self._kept) > self._limit:
                del self._kept[: len(self._kept) - self._limit]

    @property
    def cut(self) -> bool:
        return self.total > len(self._kept)

    def bytes(self) -> bytes:
        return bytes(self._kept)
