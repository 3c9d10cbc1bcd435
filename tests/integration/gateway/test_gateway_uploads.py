"""Files as request bodies: streamed, bounded, and ended by whoever has had enough."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.uploads import PIECE_BYTES

LIMIT_S = 10.0
MIB = 1024 * 1024


async def started(front: Any, path: str, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A POST of which only the head is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.settings.gateway_port)
    lines = [f"POST {path} HTTP/1.1", "Host: x", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    return reader, writer


async def answer(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT_S)


async def written(writer: asyncio.StreamWriter, total: int, *, patience_s: float) -> int:
    """How many of `total` bytes are written before the other side takes none for too long."""
    sent = 0
    while sent < total:
        piece = b"x" * min(64 * 1024, total - sent)
        writer.write(piece)
        sent += len(piece)
        try:
            await asyncio.wait_for(writer.drain(), patience_s)
        except TimeoutError:
            break
    return sent


async def in_chunks(data: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def test_the_first_message_says_what_it_is_and_the_others_bring_bytes_only(front: Any) -> None:
    data = os.urandom(3 * MIB)
    response = await front.post("/v1/upload/f.csv?note=n", content=data, headers={"content-type": "text/csv"})
    assert response.status_code == 200, response.text
    assert response.json()["sha256"] == hashlib.sha256(data).hexdigest()
    first, *others = front.echo.uploads
    assert (first.name, first.note, first.file.content_type) == ("f.csv", "n", "text/csv")
    assert others
    assert {(other.name, other.note, other.file.content_type) for other in others} == {("", "", "")}
    assert max(len(each.file.data) for each in front.echo.uploads) <= PIECE_BYTES


async def test_an_upload_of_unknown_length_arrives_whole(front: Any) -> None:
    data = os.urandom(2 * MIB + 7)
    response = await front.post("/v1/upload/f", content=in_chunks(data))
    assert response.json()["sha256"] == hashlib.sha256(data).hexdigest()


async def test_brackets_in_a_file_are_not_taken_for_json(front: Any) -> None:
    data = b"[{" * 100_000
    response = await front.post("/v1/upload/f", content=data, headers={"content-type": "application/json"})
    assert response.json()["size"] == str(len(data))


async def test_an_empty_file_is_a_file(front: Any) -> None:
    response = await front.post("/v1/upload/f", content=b"", headers={"content-type": "text/csv"})
    assert (response.json()["size"], response.json()["contentType"]) == ("0", "text/csv")


async def test_an_upload_that_says_that_it_is_too_large_reaches_no_service(start_front: Any) -> None:
    async with start_front(gateway_max_upload_bytes=100_000) as front:
        response = await front.post("/v1/upload/f", content=b"x" * 100_001)
        assert response.status_code == 413
        assert response.json()["details"][0]["reason"] == "BODY_TOO_LARGE"
        assert front.echo.seen.empty()
        assert (await front.post("/v1/upload/f", content=b"x" * 100_000)).json()["size"] == "100000"


async def test_an_upload_that_turns_out_too_large_is_refused_and_the_call_cancelled(start_front: Any) -> None:
    async with start_front(gateway_max_upload_bytes=100_000) as front:
        response = await front.post("/v1/upload/f", content=in_chunks(b"x" * 400_000, 10_000))
        assert response.status_code == 413
        assert [await front.echo.next_event() for _ in range(2)] == ["upload began", "cancelled"]


async def test_a_client_that_leaves_amid_a_file_cancels_the_call(front: Any) -> None:
    _, writer = await started(front, "/v1/upload/f", "Content-Length: 1000")
    writer.write(b"x" * 10)
    assert await front.echo.next_event() == "upload began"
    writer.close()
    assert await front.echo.next_event() == "cancelled"


async def test_a_client_that_falls_silent_amid_a_file_is_told_and_the_call_cancelled(start_front: Any) -> None:
    async with start_front(gateway_upload_silence_s=0.3) as front:
        reader, writer = await started(front, "/v1/upload/f", "Content-Length: 1000")
        writer.write(b"x" * 10)
        assert (await answer(reader)).startswith(b"HTTP/1.1 408")
        assert [await front.echo.next_event() for _ in range(2)] == ["upload began", "cancelled"]
        writer.close()


@pytest.mark.parametrize("size", [100, 24 * MIB])
async def test_a_service_that_refuses_ends_the_upload_with_its_status(front: Any, size: int) -> None:
    """Even for clients that read nothing until they have written everything."""
    response = await front.post("/v1/upload/f?note=refuse", content=in_chunks(b"x" * size))
    assert response.status_code == 403
    assert response.json()["message"] == "not for you"


async def test_a_refusal_is_out_before_the_client_has_sent_everything(front: Any) -> None:
    reader, writer = await started(front, "/v1/upload/f?note=refuse", f"Content-Length: {10 * 1024**3}")
    writer.write(b"x" * MIB)
    head = await answer(reader)
    assert head.startswith(b"HTTP/1.1 403")
    assert b"connection: close" in head.lower()  # or its next request would wait behind the rest of the file
    writer.close()


async def test_a_slow_service_slows_the_client(front: Any) -> None:
    total = 48 * MIB
    reader, writer = await started(front, "/v1/upload/f?note=stall", f"Content-Length: {total}")
    sent = await written(writer, total, patience_s=1)
    assert sent < 32 * MIB
    front.echo.go.set()
    assert await written(writer, total - sent, patience_s=LIMIT_S) == total - sent
    assert (await answer(reader)).startswith(b"HTTP/1.1 200")
    assert sum(len(each.file.data) for each in front.echo.uploads) == total
    writer.close()


async def test_a_compressed_upload_is_refused(front: Any) -> None:
    response = await front.post("/v1/upload/f", content=b"x", headers={"content-encoding": "gzip"})
    assert response.status_code == 415
    assert front.echo.seen.empty()


async def test_a_file_in_one_piece_is_bounded_as_any_body(start_front: Any) -> None:
    async with start_front(gateway_max_body=2048) as front:
        whole = await front.client.put(
            "/v1/store/f?note=n", content=b"\x00\xff" * 1000, headers={"content-type": "x/y"}
        )
        assert (whole.content, whole.headers["content-type"]) == (b"\x00\xff" * 1000, "x/y")
        assert front.echo.requests[-1].name == "f"
        assert (await front.client.put("/v1/store/f", content=b"x" * 2049)).status_code == 413
