"""Request bodies that are a file: streamed in pieces, and never held as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from gateway.exchange import Request
from gateway.refusals import BodyTooSlow

PIECE_BYTES = 1024 * 1024
"""No message of an upload brings more."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What an upload may be: bytes in all, and seconds without a byte."""

    max_bytes: int = 10 * 1024**3
    silence_s: float = 60.0


async def pieces(request: Request, limits: UploadLimits) -> AsyncGenerator[bytes]:
    """The body as it arrives, in pieces of at most PIECE_BYTES; nothing is read ahead of what is taken.

    Raises BodyTooLarge, BodyTooSlow, UnsupportedContent for a compressed body, ClientGone.
    """
    request.check_body(limits.max_bytes)
    size = 0
    chunks = request.chunks()
    while True:
        chunk = await _next(chunks, limits.silence_s)
        if chunk is None:
            return
        size += len(chunk)
        if size > limits.max_bytes:
            raise request.too_large(limits.max_bytes)
        for start in range(0, len(chunk), PIECE_BYTES):
            yield chunk[start : start + PIECE_BYTES]


async def _next(chunks: AsyncGenerator[bytes], silence_s: float) -> bytes | None:
    try:
        async with asyncio.timeout(silence_s):
            return await anext(chunks, None)
    except TimeoutError:
        raise BodyTooSlow(
            f"nothing of the request body came for {silence_s:g} s", headers={"connection": "close"}
        ) from None
