"""Streams: both forms out, JSON and bytes in, both at once; errors, disconnects, back-pressure, going down."""

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

SSE = {"accept": "text/event-stream"}
LIMIT_S = 10.0


def lines(response: httpx.Response) -> list[Any]:
    return [json.loads(line) for line in response.text.splitlines()]


async def test_a_stream_is_a_line_of_json_for_each_message(front: Any) -> None:
    response = await front.get("/v1/count/3")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [line["result"]["number"] for line in lines(response)] == [1, 2, 3]


async def test_a_stream_may_be_empty(front: Any) -> None:
    response = await front.get("/v1/count/0")
    assert (response.status_code, response.content) == (200, b"")


async def test_a_browser_gets_events_with_the_cursor_as_their_id(front: Any) -> None:
    response = await front.get("/v1/count/2", headers=SSE)
    assert response.headers["content-type"] == "text/event-stream"
    events = response.text.split("\n\n")
    assert events[0].startswith('id: 1\ndata: {"number":1,')
    assert events[1].startswith('id: 2\ndata: {"number":2,')
    assert events[2] == "event: end\ndata: {}"


async def test_a_browser_that_reconnects_goes_on_after_the_last_event(front: Any) -> None:
    response = await front.get("/v1/count/5", headers={**SSE, "Last-Event-ID": "3"})
    assert [line for line in response.text.splitlines() if line.startswith("id:")] == ["id: 4", "id: 5"]


async def test_an_error_before_the_first_message_has_its_own_status(front: Any) -> None:
    for headers in ({}, SSE):
        response = await front.get("/v1/count/0?code=5", headers=headers)
        assert response.status_code == 404
        assert response.json()["message"] == "counted enough"


async def test_an_error_after_a_message_is_the_last_line(front: Any) -> None:
    response = await front.get("/v1/count/1?code=8")
    assert response.status_code == 200
    assert lines(response)[1] == {"error": {"code": 8, "message": "counted enough", "details": []}}


async def test_an_error_after_an_event_is_an_event(front: Any) -> None:
    response = await front.get("/v1/count/1?code=8", headers=SSE)
    last = response.text.split("\n\n")[1]
    assert last == 'event: error\ndata: {"code":8,"message":"counted enough","details":[]}'


async def test_silence_is_filled_with_comments_for_event_streams(start_front: Any) -> None:
    async with start_front(gateway_keep_alive_s=0.02) as front:
        async with front.client.stream("GET", "/v1/count/1?hang=true", headers=SSE) as response:
            async for line in response.aiter_lines():
                if line == ": keep-alive":
                    break
        assert [await front.echo.next_event() for _ in range(2)] == ["started", "cancelled"]


async def test_messages_come_as_they_are_sent_not_at_the_end(front: Any) -> None:
    async with front.client.stream("GET", "/v1/count/2?hang=true") as response:
        numbers = []
        async for line in response.aiter_lines():
            numbers.append(json.loads(line)["result"]["number"])
            if len(numbers) == 2:
                break
    assert numbers == [1, 2]


@pytest.mark.parametrize("path", ["/v1/count/1?hang=true", "/v1/count/0?hang=true", "/v1/hang"])
async def test_a_client_that_goes_away_cancels_the_call(front: Any, path: str) -> None:
    request = asyncio.create_task(front.get(path))
    assert await front.echo.next_event() == "started"
    request.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await request
    assert await front.echo.next_event() == "cancelled"


async def test_a_slow_client_slows_the_service(front: Any) -> None:
    with socket.create_connection(("127.0.0.1", front.settings.gateway_port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /v1/count/100000?padding=10000 HTTP/1.1\r\nHost: x\r\n\r\n")
        before = -1
        async with asyncio.timeout(LIMIT_S):
            while front.echo.sent != before or before <= 0:
                before = front.echo.sent
                await asyncio.sleep(0.2)
        assert 0 < front.echo.sent < 5000  # of 1 GB no more has left the service than buffers hold


async def test_a_client_that_takes_nothing_is_cut_off(start_front: Any) -> None:
    async with start_front(gateway_stalled_s=0.1) as front:
        with socket.create_connection(("127.0.0.1", front.settings.gateway_port)) as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.sendall(b"GET /v1/count/100000?padding=10000 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await front.echo.next_event() == "count ended"
        assert front.echo.sent < 5000


async def test_bytes_are_streamed_as_they_are(front: Any) -> None:
    response = await front.get("/v1/download/3")
    assert response.content == b"0\n1\n2\n"
    assert response.headers["content-type"] == "text/x-test"
    assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"


async def test_no_bytes_are_an_empty_file(front: Any) -> None:
    response = await front.get("/v1/download/0")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "application/octet-stream"


async def test_a_download_that_takes_its_time_still_has_its_content_type(
    front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.streaming.FIRST_MESSAGE_S", 0.0)
    request = asyncio.create_task(front.get("/v1/download/1?hang=true"))
    assert await front.echo.next_event() == "started"
    done, _ = await asyncio.wait({request}, timeout=0.2)  # whoever answered too early would have done so
    assert not done
    front.echo.go.set()
    response = await request
    assert (response.headers["content-type"], response.content) == ("text/x-test", b"0\n")


async def test_a_download_that_fails_on_the_way_is_cut_off_not_ended(front: Any) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await front.get("/v1/download/2?code=13")
    assert (await front.get("/v1/download/0?code=5")).status_code == 404


async def test_head_of_a_stream_has_no_body(front: Any) -> None:
    response = await front.client.head("/v1/count/3")
    assert (response.status_code, response.content) == (200, b"")


async def test_bytes_go_in_and_out_in_one_piece(front: Any) -> None:
    data = bytes(range(256))
    response = await front.post("/v1/mirror", content=data, headers={"content-type": "image/x-test"})
    assert (response.content, response.headers["content-type"]) == (data, "image/x-test")
    response = await front.client.put("/v1/store/n?note=hi", content=data, headers={"content-type": "image/x-test"})
    assert (response.content, response.headers["content-type"]) == (data, "image/x-test")
    assert (front.echo.requests[-1].name, front.echo.requests[-1].note) == ("n", "hi")


async def test_an_upload_is_streamed_in_pieces_with_path_and_query_first(front: Any) -> None:
    data = b"0123456789" * 1_000_000  # more than the limit of a body in one piece
    response = await front.post("/v1/upload/big?note=hi", content=data, headers={"content-type": "x/y"})
    assert response.status_code == 200, response.text
    stored = response.json()
    assert (stored["name"], stored["note"], stored["contentType"]) == ("big", "hi", "x/y")
    assert (stored["size"], stored["sha256"]) == (str(len(data)), hashlib.sha256(data).hexdigest())
    assert stored["messages"] > 1


async def test_an_empty_upload_still_carries_its_name(front: Any) -> None:
    stored = (await front.post("/v1/upload/empty")).json()
    assert (stored["name"], stored["size"], stored["messages"]) == ("empty", "0", 1)


async def parts(*texts: bytes) -> AsyncIterator[bytes]:
    for text in texts:
        yield text


@pytest.mark.parametrize(
    "pieces",
    [
        (b'{"to": 1}\n{"to": 2}\n', b'{"to": 4}'),
        (b'{"to": 1}{"to": 2}{"t', b'o": 4}'),
        (b' \n{"to"', b": 1", b"}\n\n", b'{"cursor": "\\"}{", "to": 6}'),
        (b'{"to": 7, "cursor": "a\\', b'"b"}'),
    ],
)
async def test_json_values_are_cut_wherever_they_end(front: Any, pieces: tuple[bytes, ...]) -> None:
    response = await front.post("/v1/sum", content=parts(*pieces), headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text
    assert response.json()["number"] == 7


async def test_the_path_goes_into_the_first_message_of_a_client_stream(front: Any) -> None:
    response = await front.post("/v1/sum/10", content=b'{"to": 1}\n{"to": 2}')
    assert response.json()["number"] == 12
    assert (await front.post("/v1/sum/10")).json()["number"] == 10
    assert (await front.post("/v1/sum")).json()["number"] == 0


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b'{"to": "x"}\n', "to: expected a whole number"),
        (b"nonsense\n", "not valid JSON"),
        (b'{"to": 2', "in the middle"),
        (b"]\n", "not valid JSON"),
    ],
)
async def test_a_bad_value_on_the_way_is_a_400_and_cancels_the_call(front: Any, bad: bytes, says: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"to": 1}\n'
        assert await front.echo.next_event() == "got 1"
        yield bad

    response = await front.post("/v1/sum", content=body())
    assert response.status_code == 400
    assert says in response.json()["message"]
    assert await front.echo.next_event() == "cancelled"


async def test_a_bad_first_value_is_a_400(front: Any) -> None:
    assert (await front.post("/v1/sum", content=b"]\n")).status_code == 400


async def test_a_value_over_the_limit_is_a_413(start_front: Any) -> None:
    async with start_front(gateway_max_body=2000) as front:
        response = await front.post("/v1/sum", content=parts(b'{"cursor": "', b"x" * 3000, b'"}'))
        assert response.status_code == 413


async def test_an_error_of_the_service_ends_an_upload_early(front: Any) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"code": 5}\n'
        while True:
            await asyncio.sleep(0.01)
            yield b'{"to": 1}\n'

    reader, writer = await asyncio.open_connection("127.0.0.1", front.settings.gateway_port)
    writer.write(b"POST /v1/sum HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    async for value in endless():
        writer.write(b"%x\r\n%b\r\n" % (len(value), value))
        if not reader.at_eof() and reader._buffer:  # type: ignore[attr-defined]
            break
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), LIMIT_S)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404")


async def test_both_directions_flow_at_once(front: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", front.settings.gateway_port)
    writer.write(b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b'a\r\n{"to": 1}\n\r\n')
    first = await asyncio.wait_for(reader.readuntil(b'"number":1'), LIMIT_S)
    assert first.startswith(b"HTTP/1.1 200")
    writer.write(b'a\r\n{"to": 2}\n\r\n0\r\n\r\n')
    rest = await asyncio.wait_for(reader.read(), LIMIT_S)
    writer.close()
    assert b'"number":2' in rest


async def test_a_client_that_leaves_its_upload_cancels_the_call(front: Any) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", front.settings.gateway_port)
    writer.write(b'POST /v1/sum HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{"to": 1}\n\r\n')
    assert await front.echo.next_event() == "got 1"
    writer.close()
    assert await front.echo.next_event() == "cancelled"


async def test_streams_end_with_a_line_that_says_so_when_the_gateway_stops(start_front: Any) -> None:
    async with start_front() as front:
        async with front.client.stream("GET", "/v1/count/1?hang=true") as response:
            received = []
            async for line in response.aiter_lines():
                received.append(json.loads(line))
                front.stopping.set()
        assert received[1]["error"]["code"] == 14
        assert received[1]["error"]["details"][0]["reason"] == "GATEWAY_STOPPING"
        assert [await front.echo.next_event() for _ in range(2)] == ["started", "cancelled"]


async def test_a_call_that_outlasts_the_drain_is_cancelled_and_answered_with_a_503(start_front: Any) -> None:
    async with start_front(drain_timeout_s=0.1) as front:
        client = httpx.AsyncClient(base_url=str(front.client.base_url), timeout=LIMIT_S)
        request = asyncio.create_task(client.get("/v1/hang"))
        assert await front.echo.next_event() == "started"
    response = await request
    assert response.status_code == 503
    assert response.json()["details"][0]["reason"] == "GATEWAY_STOPPING"
    assert await front.echo.next_event() == "cancelled"
    await client.aclose()
