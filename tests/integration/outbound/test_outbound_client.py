"""The outbound client against a real TLS server of this machine that behaves well or badly."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from automesh.core.errors import AutomationError
from automesh.outbound.allowlist import AllowList
from automesh.outbound.client import OutboundClient, OutboundLimits
from automesh.outbound.errors import (
    AddressNotAllowed,
    AnswerRefused,
    AnswerTooLarge,
    Unreachable,
    Untrusted,
    UrlNotAllowed,
)
from automesh.testing.ca import ThrowawayCa

NAME = "files.example.test"  # which no DNS knows
LIMIT_S = 10.0
Behave = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """Answers every request with `behave`, and remembers what was asked."""

    port: int
    ca_file: Path
    behaviours: dict[str, Behave] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/", host: str = NAME) -> str:
        return f"https://{host}:{self.port}{path}"

    def at(self, path: str, behave: Behave) -> str:
        self.behaviours[path] = behave
        return self.url(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heard.append(head)
            length = next((line[15:] for line in head.lower().split("\r\n") if line.startswith("content-length:")), "0")
            self.bodies.append(await reader.readexactly(int(length)))
            await self.behaviours[head.split(" ")[1]](writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.left.set()
            writer.close()


def saying(head: str, body: bytes = b"") -> Behave:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)

    return behave


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[Server]:
    ca = ThrowawayCa(tmp_path)
    identity = ca.identity([], dns=[NAME], ips=["127.0.0.1"])
    (tmp_path / "chain.pem").write_bytes(identity.certificate_pem)
    (tmp_path / "key.pem").write_bytes(identity.key_pem)
    (tmp_path / "roots.pem").write_bytes(ca.bundle_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    made = Server(0, tmp_path / "roots.pem")
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()
    await listening.wait_closed()


class Names:
    """A resolver that says what the test wants, in order, the last for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def client(
    server: Server, *, entry: str = "", names: Names | None = None, trusted: bool = True, **limits: Any
) -> OutboundClient:
    return OutboundClient(
        AllowList.parse([entry or f"{server.url()} private"]),
        limits=OutboundLimits(**{"total_s": LIMIT_S, **limits}),
        ca_file=server.ca_file if trusted else None,
        resolve=names or Names(["127.0.0.1"]),
    )


async def fetched(outbound: OutboundClient, url: str) -> bytes:
    async with aclosing(outbound.fetch(url)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def refused(outbound: OutboundClient, url: str, kind: type[AutomationError]) -> str:
    with pytest.raises(kind) as caught:
        await asyncio.wait_for(fetched(outbound, url), LIMIT_S)
    return caught.value.message


async def test_a_file_is_fetched_from_the_address_that_was_checked_under_its_name(server: Server) -> None:
    url = server.at("/a.csv?x=1", saying("200 OK", b"a,b\n1,2\n"))
    names = Names(["127.0.0.1"], ["10.255.255.1"])
    assert await fetched(client(server, names=names), url) == b"a,b\n1,2\n"
    assert names.asked == 1
    head = server.heard[0].lower()
    assert f"host: {NAME}:{server.port}\r\n" in head
    assert "accept-encoding: identity\r\n" in head


async def test_a_post_brings_its_body_and_returns_any_status(server: Server) -> None:
    url = server.at("/hook", saying("500 Oops", b"broken"))
    reply = await client(server).post(url, b'{"a":1}', headers={"X-Signature": "s", "Host": "evil.test"})
    assert (reply.status, reply.body, server.bodies) == (500, b"broken", [b'{"a":1}'])
    head = server.heard[0].lower()
    assert "x-signature: s\r\n" in head
    assert "evil.test" not in head


async def test_what_is_not_on_the_list_is_not_even_looked_up(server: Server) -> None:
    names = Names(["127.0.0.1"])
    outbound = client(server, entry=f"{server.url('/public/')} private", names=names)
    await refused(outbound, server.url("/secret"), UrlNotAllowed)
    with pytest.raises(UrlNotAllowed):
        outbound.check(server.url("/secret"))
    outbound.check(server.url("/public/x"))
    assert (names.asked, server.connections) == (0, 0)


async def test_a_name_that_leads_inside_is_refused_without_the_word(server: Server) -> None:
    for inside in ("127.0.0.1", "::ffff:127.0.0.1", "::1", "169.254.169.254"):
        message = await refused(
            client(server, entry=server.url(), names=Names([inside])), server.url(), AddressNotAllowed
        )
        assert "public internet" in message
    assert server.connections == 0


async def test_a_name_that_rebinds_between_two_calls_is_refused_at_the_second(server: Server) -> None:
    """The first answer is one that may be called; each call checks anew, and connects to what it checked."""
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    outbound = client(server, names=names)
    url = server.at("/", saying("200 OK", b"ok"))
    assert await fetched(outbound, url) == b"ok"
    await refused(outbound, url, AddressNotAllowed)
    assert (names.asked, server.connections) == (2, 1)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent", "304 Not Modified"])
async def test_a_redirect_is_not_followed(server: Server, status: str) -> None:
    url = server.at("/", saying(f"{status}\r\nlocation: https://{NAME}:{server.port}/secret"))
    server.behaviours["/secret"] = saying("200 OK", b"secret")
    assert "redirect" in await refused(client(server), url, AnswerRefused)
    assert (await client(server).post(url, b"x")).status == int(status[:3])
    assert all("/secret" not in head for head in server.heard)


async def test_a_status_says_whether_trying_again_can_help(server: Server) -> None:
    for status, kind in (("404 No", AnswerRefused), ("403 No", AnswerRefused), ("204 Empty", AnswerRefused)):
        await refused(client(server), server.at("/", saying(status)), kind)
    for status in ("503 Later", "429 Slowly", "500 Oops"):
        await refused(client(server), server.at("/", saying(status)), Unreachable)


async def test_a_body_that_says_that_it_is_too_large_is_not_read(server: Server) -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n")

    assert "1000 bytes" in await refused(client(server, max_bytes=1000), server.at("/", behave), AnswerTooLarge)


@pytest.mark.parametrize("head", ["transfer-encoding: chunked", "connection: close"])
async def test_a_body_that_never_ends_is_cut_off(server: Server, head: str) -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        piece = b"x" * 65_536
        while True:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if "chunked" in head else piece)
            await writer.drain()

    await refused(client(server, max_bytes=1_000_000), server.at("/", behave), AnswerTooLarge)
    await asyncio.wait_for(server.left.wait(), LIMIT_S)


async def test_the_answer_to_a_post_is_cut_at_its_bound(server: Server) -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    reply = await asyncio.wait_for(client(server, reply_bytes=1000).post(server.at("/", behave), b""), LIMIT_S)
    assert reply.body == b"x" * 1000
    await asyncio.wait_for(server.left.wait(), LIMIT_S)


async def test_a_body_that_trickles_is_given_up_when_the_time_is_over(server: Server) -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)  # how slowly it trickles: nothing is waited for

    url = server.at("/", behave)
    await refused(client(server, total_s=0.5, silence_s=0.2), url, Unreachable)
    await asyncio.wait_for(server.left.wait(), LIMIT_S)


async def test_a_server_that_falls_silent_is_given_up(server: Server) -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
        await writer.drain()
        await asyncio.Event().wait()

    async def mute(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    for silent in (behave, mute):
        assert "too long" in await refused(client(server, silence_s=0.2), server.at("/", silent), Unreachable)


async def test_a_connection_that_breaks_off_is_not_taken_for_the_end(server: Server) -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")

    await refused(client(server), server.at("/", behave), Unreachable)


async def test_what_is_no_http_is_an_error_and_endless_headers_are_bounded(server: Server) -> None:
    async def nonsense(writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")

    async def headers(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x: " + b"y" * 1000 + b"\r\n")
            await writer.drain()

    for behave in (nonsense, headers):
        await refused(client(server), server.at("/", behave), Unreachable)


async def test_a_gzip_bomb_is_never_unpacked(server: Server) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    url = server.at("/", saying("200 OK\r\ncontent-encoding: gzip", bomb))
    assert "compressed" in await refused(client(server), url, AnswerRefused)
    reply = await client(server).post(url, b"")
    assert reply.body == bomb[: 64 * 1024]


async def test_a_file_that_is_compressed_itself_comes_as_it_is(server: Server) -> None:
    packed = gzip.compress(b"a,b\n")
    url = server.at("/a.csv.gz", saying("200 OK\r\ncontent-type: application/gzip", packed))
    assert await fetched(client(server), url) == packed


async def test_a_certificate_for_another_name_or_of_another_authority_is_refused(server: Server) -> None:
    url = server.at("/", saying("200 OK", b"ok"))
    other = f"https://other.example.test:{server.port}/"
    assert "not valid" in await refused(client(server, entry=f"{other} private"), other, Untrusted)
    await refused(client(server, trusted=False), url, Untrusted)
    assert server.heard == []


async def test_an_address_in_the_url_is_checked_against_the_certificate_too(server: Server) -> None:
    url = f"https://127.0.0.1:{server.port}/"
    server.at("/", saying("200 OK", b"ok"))
    assert await fetched(client(server, entry=f"{url} private"), url) == b"ok"
    await refused(client(server, entry=url), url, AddressNotAllowed)


async def test_the_next_address_is_tried_when_one_does_not_answer(server: Server) -> None:
    url = server.at("/", saying("200 OK", b"ok"))
    assert await fetched(client(server, names=Names(["127.0.0.2", "127.0.0.1"])), url) == b"ok"


async def test_a_port_where_nobody_listens_is_unreachable(server: Server) -> None:
    message = await refused(client(server, names=Names(["127.0.0.2"])), server.url("/a?secret=1"), Unreachable)
    assert "secret" not in message


async def test_more_calls_than_may_run_at_once_wait_and_give_up_in_time(server: Server) -> None:
    async def mute(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    outbound = client(server, at_once=1, total_s=0.5)
    url = server.at("/", mute)
    results = await asyncio.gather(*(fetched(outbound, url) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [Unreachable] * 3
    server.at("/", saying("200 OK", b"ok"))
    assert await fetched(outbound, url) == b"ok"


async def test_a_proxy_in_the_environment_is_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    url = server.at("/", saying("200 OK", b"ok"))
    assert await fetched(client(server), url) == b"ok"


async def test_a_fetch_that_is_given_up_closes_its_connection_and_frees_its_place(server: Server) -> None:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    outbound = client(server, at_once=1)
    url = server.at("/", behave)
    async with aclosing(outbound.fetch(url)) as chunks:
        assert await anext(chunks)
    await asyncio.wait_for(server.left.wait(), LIMIT_S)
    server.at("/", saying("200 OK", b"ok"))
    assert await fetched(outbound, url) == b"ok"
