"""How large files go to readers: in pieces, no further than the reader follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from services.doc.web import answers
from services.doc.web.answers import PIECE, Answer

CHUNKS, CHUNK = 4, 3 * PIECE + 1


class Reader:
    """The other side of ASGI, who may stop to take anything or go."""

    def __init__(self, *, takes: int = 1000, goes: bool = False) -> None:
        self._takes, self._goes = takes, goes
        self._gone = asyncio.Event()
        self.taken: list[bytes] = []
        self.read = 0

    async def receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if "body" not in message:
            return
        if len(self.taken) == self._takes:
            if not self._goes:
                await asyncio.Event().wait()
            self._gone.set()
            await asyncio.sleep(0)
            return
        self.taken.append(message["body"])

    async def chunks(self) -> AsyncGenerator[bytes]:
        for _ in range(CHUNKS):
            self.read += 1
            yield b"x" * CHUNK


async def sent(reader: Reader) -> None:
    answer = Answer(200, chunks=reader.chunks(), length=CHUNKS * CHUNK)
    async with asyncio.timeout(5):
        await answer.send(reader.receive, reader.send, head=False, secure=False)


async def test_a_large_file_goes_out_in_small_pieces() -> None:
    reader = Reader()
    await sent(reader)
    assert b"".join(reader.taken) == b"x" * CHUNKS * CHUNK
    assert max(map(len, reader.taken)) == PIECE


async def test_nothing_more_is_read_for_a_reader_who_has_gone() -> None:
    reader = Reader(takes=2, goes=True)
    await sent(reader)
    assert reader.read == 1


async def test_a_reader_who_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PATIENCE_S", 0.05)
    reader = Reader(takes=2)
    with pytest.raises(TimeoutError):
        await sent(reader)
    assert reader.read == 1
