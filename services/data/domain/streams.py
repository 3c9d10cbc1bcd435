"""Bytes on their way: bounded, sliced, and read whole where they are small."""

from __future__ import annotations

from collections.abc import AsyncIterator

from automesh.core.errors import AutomationError, InternalError, ValidationError
from services.data.domain.upload import MAX_CHUNK

READ_CHUNK = 256 * 1024


async def bounded(chunks: AsyncIterator[bytes], limit: int, too_large: AutomationError) -> AsyncIterator[bytes]:
    """The chunks, as long as they are no more than `limit` bytes together; then raises `too_large`."""
    size = 0
    async for chunk in chunks:
        if len(chunk) > MAX_CHUNK:
            raise ValidationError(f"a chunk of {len(chunk)} bytes is more than {MAX_CHUNK}", field="chunk")
        size += len(chunk)
        if size > limit:
            raise too_large
        yield chunk


async def sliced(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in chunks of at most READ_CHUNK."""
    async for chunk in chunks:
        for start in range(0, len(chunk), READ_CHUNK):
            yield chunk[start : start + READ_CHUNK]


async def whole(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """A small file. Raises InternalError when it is larger than it can be."""
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > limit:
            raise InternalError("a file that is small by construction is not")
    return bytes(content)


async def once(content: bytes) -> AsyncIterator[bytes]:
    """A stream of one chunk or none."""
    if content:
        yield content
