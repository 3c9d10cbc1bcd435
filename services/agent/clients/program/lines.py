"""Lines of a stream, each no longer than a bound, whatever the stream carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """`text` without its end; `cut` when the line was longer and the rest was thrown away."""

    text: str
    cut: bool = False


async def read_lines(stream: asyncio.StreamReader, *, most: int) -> AsyncIterator[Line]:
    """Every line that is not empty, at most `most` bytes of it, until the stream ends."""
    held = bytearray()
    cut = False
    while chunk := await stream.read(CHUNK_BYTES):
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            held += part
            if line := _line(held, most, cut):
                yield line
            held.clear()
            cut = False
        held += rest
        if len(held) > most:
            del held[most:]
            cut = True
    if line := _line(held, most, cut):
        yield line


def _line(held: bytearray, most: int, cut: bool) -> Line | None:
    text = held[:most].decode("utf-8", "replace").rstrip("\r")
    return Line(text, cut or len(held) > most) if text.strip() else None
