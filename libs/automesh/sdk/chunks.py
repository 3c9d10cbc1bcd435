"""Files and bytes in pieces that one message may carry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

CHUNK = 512 * 1024  # bytes; the protocols allow 1 MiB


async def chunks_of(content: bytes | Path) -> AsyncIterator[bytes]:
    """Pieces of at most CHUNK bytes. Raises OSError for a file that cannot be read."""
    if isinstance(content, bytes):
        for start in range(0, len(content), CHUNK):
            yield content[start : start + CHUNK]
        return
    with await asyncio.to_thread(content.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk
