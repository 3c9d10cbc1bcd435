"""How a body is cut into the pieces of an upload."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.exchange import Event, Request
from gateway.refusals import BodyTooLarge, BodyTooSlow
from gateway.uploads import PIECE_BYTES, UploadLimits, pieces


def request(chunks: Sequence[bytes], *, hangs: bool = False) -> tuple[Request, list[bytes]]:
    """A request whose body arrives in these chunks, and those that were not asked for yet."""
    left = list(chunks)

    async def receive() -> Event:
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or hangs}
        await asyncio.Event().wait()
        raise AssertionError("nobody ends this")

    scope = {"method": "POST", "raw_path": b"/", "query_string": b"", "headers": [], "http_version": "1.1"}
    return Request(scope, receive, header_limit=1000), left


async def test_a_big_chunk_is_cut_and_a_small_one_is_not_waited_with() -> None:
    body, _ = request([b"a" * (2 * PIECE_BYTES + 5), b"b"])
    assert [len(piece) async for piece in pieces(body, UploadLimits())] == [PIECE_BYTES, PIECE_BYTES, 5, 1]


async def test_nothing_is_read_ahead() -> None:
    body, left = request([b"a", b"b", b"c"])
    stream = pieces(body, UploadLimits())
    assert await anext(stream) == b"a"
    assert left == [b"b", b"c"]
    await stream.aclose()


async def test_the_limit_counts_all_pieces() -> None:
    body, left = request([b"abc", b"abc", b"abc"])
    with pytest.raises(BodyTooLarge):
        _ = [piece async for piece in pieces(body, UploadLimits(max_bytes=5))]
    assert left == [b"abc"]


async def test_silence_ends_it() -> None:
    body, _ = request([b"abc"], hangs=True)
    with pytest.raises(BodyTooSlow, match="for 0"):
        _ = [piece async for piece in pieces(body, UploadLimits(silence_s=0.01))]
