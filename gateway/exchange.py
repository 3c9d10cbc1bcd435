"""One HTTP request and its response, over ASGI: bounded reading, who sent it, whether the client is still there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from gateway.headers import Headers
from gateway.metadata import request_id_of
from gateway.refusals import BodyTooLarge, UnsupportedContent

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
HeaderList = Sequence[tuple[bytes, bytes]]

NO_CONTENT = 204
_WITHOUT_BODY = (NO_CONTENT, 304)

_DRAIN_FACTOR = 4  # so much of a body that is too large is still read, so that the client hears the answer


LINGER_BYTES, LINGER_S, LINGER_SILENCE_S = 256 * 1024 * 1024, 10.0, 0.3
"""So much of an upload that was refused is still read and thrown away, for so long, until nothing comes for a while."""


class ClientGone(Exception):
    """The client closed the connection; nobody is left to answer."""


class Request:
    """What the client sent."""

    __slots__ = (
        *("_began", "_receive", "_version", "body_read", "gone", "headers", "method", "peer", "query"),
        *("raw_path", "request_id"),
    )

    def __init__(self, scope: Scope, receive: Receive, *, header_limit: int) -> None:
        self._receive = receive
        self._version: str = scope.get("http_version", "1.1")
        self.method: str = scope["method"]
        self.raw_path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        self.headers = Headers(scope["headers"], limit=header_limit)
        self.request_id = request_id_of(self.headers)
        self.peer: str = (scope.get("client") or ("",))[0]
        self.body_read = False
        self.gone = False
        self._began = False

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises BodyTooLarge, UnsupportedContent for a compressed one, ClientGone."""
        self._check_encoding()
        if self.headers.get("expect") and self._declared() > limit:
            raise self.too_large(limit)  # the client waits for our word before it sends anything
        event = await self._receive()  # the usual body comes whole: no generator for that
        chunk: bytes = event.get("body", b"")
        if event["type"] == "http.request" and not event.get("more_body") and len(chunk) <= limit:
            self.body_read = True
            return chunk
        return await self._collect(event, limit)

    async def _collect(self, first: Event, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        too_large = self._declared() > limit
        async for chunk in self.chunks(first):
            size += len(chunk)
            too_large = too_large or size > limit
            if not too_large:
                parts.append(chunk)
            elif size > limit * _DRAIN_FACTOR:
                break
        if too_large:
            raise self.too_large(limit)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self, first: Event | None = None) -> AsyncGenerator[bytes]:
        """The body as it arrives; `first` is what has arrived already. Raises ClientGone."""
        while not self.body_read:
            chunk, first = self._taken(first or await self._receive()), None
            if chunk:
                yield chunk

    @property
    def is_coming(self) -> bool:
        """Whether the client is still busy with sending, on a connection of this request alone (HTTP/1)."""
        waits = not self._began and bool(self.headers.get("expect"))  # for our word, before it sends anything
        return not self.body_read and not self.gone and not waits and self._version.startswith("1")

    def check_body(self, limit: int) -> None:
        """Raises what the headers alone forbid: UnsupportedContent for a compressed body, BodyTooLarge."""
        self._check_encoding()
        if self._declared() > limit:
            raise self.too_large(limit)

    @staticmethod
    def too_large(limit: int) -> BodyTooLarge:
        """The refusal of a body over the limit."""
        return BodyTooLarge(f"the request body is over the limit of {limit} bytes", limit=limit)

    async def discard(self) -> None:
        """Throws away what still comes of the body, within bounds."""
        loop = asyncio.get_running_loop()
        size, ends_at = 0, loop.time() + LINGER_S
        with suppress(ClientGone, TimeoutError):
            while not self.body_read and size < LINGER_BYTES and loop.time() < ends_at:
                async with asyncio.timeout(LINGER_SILENCE_S):
                    size += len(await self._chunk())

    async def closed(self) -> None:
        """Returns once the client is gone. What is left of the body is thrown away."""
        with suppress(ClientGone):
            while not self.gone:
                await self._chunk()

    async def _chunk(self) -> bytes:
        return self._taken(await self._receive())

    def _taken(self, event: Event) -> bytes:
        self._began = True
        if event["type"] == "http.disconnect":
            self.gone = True
            raise ClientGone
        self.body_read = not event.get("more_body", False)
        return event.get("body", b"")  # type: ignore[no-any-return] # as ASGI says

    def _declared(self) -> int:
        length = self.headers.get("content-length")
        return int(length) if length.isdecimal() else 0

    def _check_encoding(self) -> None:
        encoding = self.headers.get("content-encoding").strip().lower()
        if encoding not in ("", "identity"):
            raise UnsupportedContent(f"the request body must not be compressed (Content-Encoding: {encoding[:40]})")


class Response:
    """What the client gets; every response carries the request id and forbids guessing its type."""

    __slots__ = ("_request_id", "_send", "ended", "head", "status")

    def __init__(self, send: Send, request_id: str, *, head: bool = False) -> None:
        self._send, self._request_id, self.head = send, request_id, head
        self.status = 0
        self.ended = False

    @property
    def started(self) -> bool:
        """Whether the status line is out."""
        return self.status != 0

    async def start(self, status: int, headers: HeaderList) -> None:
        """Status line and headers."""
        self.status = status
        common = (
            (b"x-request-id", self._request_id.encode("latin-1")),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
        )
        names = {name for name, _ in headers}
        merged = [*headers, *(pair for pair in common if pair[0] not in names)]
        await self._send({"type": "http.response.start", "status": status, "headers": merged})

    async def write(self, chunk: bytes) -> None:
        """A piece of the body; returns once the connection has taken it."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def linger(self, status: int, headers: HeaderList, body: bytes, request: Request) -> None:
        """An answer amid an upload: it is out before the rest is thrown away, and ends after that.

        Cut off at once, a client that writes without reading would find a broken connection in place of the answer.
        It is told not to use the connection again: another request would wait behind the rest of this body.
        """
        # Without its length: once that is out, the server cuts off the upload.
        await self.start(status, [*headers, (b"connection", b"close")])
        await self.write(body)
        await request.discard()
        await self.end()

    async def end(self) -> None:
        """No more."""
        self.ended = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def whole(self, status: int, headers: HeaderList, body: bytes) -> None:
        """A response in one piece; without its body when the request was a HEAD."""
        if status not in _WITHOUT_BODY:
            headers = [*headers, (b"content-length", str(len(body)).encode("ascii"))]
        await self.start(status, headers)
        self.ended = True
        out = b"" if self.head else body
        await self._send({"type": "http.response.body", "body": out, "more_body": False})
