"""How a stream of messages looks over HTTP: NDJSON, server-sent events, or raw bytes."""

from __future__ import annotations

from typing import Protocol

from google.protobuf.message import Message

from gateway.endpoint import Endpoint
from gateway.exchange import HeaderList
from gateway.headers import Headers

EVENT_STREAM = "text/event-stream"
NDJSON = b"application/x-ndjson"
DEFAULT_TYPE = "application/octet-stream"


class StreamFormat(Protocol):
    """Turns messages into pieces of a response body."""

    keep_alive: bytes
    """Sent in times of silence; empty: nothing is."""

    def headers(self, first: Message | None) -> HeaderList:
        """Headers of the response; `first` is the first message, if one has come already."""
        ...

    def message(self, message: Message) -> bytes:
        """A message."""
        ...

    def error(self, status: bytes) -> bytes | None:
        """An error that ends the stream, as JSON of google.rpc.Status; None when it can only be cut off."""
        ...

    def end(self) -> bytes:
        """What closes a stream that ended well."""
        ...


class Ndjson:
    """A JSON object a line: {"result": …}, and {"error": …} last if it fails."""

    keep_alive = b""

    def __init__(self, endpoint: Endpoint) -> None:
        self._json = endpoint.json

    def headers(self, first: Message | None) -> HeaderList:
        return [(b"content-type", NDJSON)]

    def message(self, message: Message) -> bytes:
        return b'{"result":%b}\n' % self._json(message)

    def error(self, status: bytes) -> bytes | None:
        return b'{"error":%b}\n' % status

    def end(self) -> bytes:
        return b""


class EventStream:
    """Server-sent events. A message's cursor is its event id, so a browser that reconnects goes on where it was."""

    keep_alive = b": keep-alive\n\n"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def headers(self, first: Message | None) -> HeaderList:
        return [(b"content-type", EVENT_STREAM.encode()), (b"x-accel-buffering", b"no")]

    def message(self, message: Message) -> bytes:
        cursor = self._endpoint.cursor(message)
        id_line = f"id: {cursor}\n".encode() if cursor and cursor.isprintable() else b""
        return b"%bdata: %b\n\n" % (id_line, self._endpoint.json(message))

    def error(self, status: bytes) -> bytes | None:
        return b"event: error\ndata: %b\n\n" % status

    def end(self) -> bytes:
        return b"event: end\ndata: {}\n\n"


class RawBody:
    """google.api.HttpBody: the bytes as they are, under the content type of the first message."""

    keep_alive = b""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def headers(self, first: Message | None) -> HeaderList:
        content_type = self._endpoint.raw(first)[0] if first is not None else ""
        return raw_headers(content_type)

    def message(self, message: Message) -> bytes:
        return self._endpoint.raw(message)[1]

    def error(self, status: bytes) -> bytes | None:
        return None

    def end(self) -> bytes:
        return b""


def raw_headers(content_type: str) -> HeaderList:
    """For bytes that somebody else made: if a browser shows them, then as a page that can do nothing here."""
    usable = content_type.isascii() and content_type.isprintable()
    return [
        (b"content-type", (content_type if content_type and usable else DEFAULT_TYPE).encode("ascii")),
        (b"content-security-policy", b"sandbox; default-src 'none'"),
    ]


def stream_format(endpoint: Endpoint, headers: Headers) -> StreamFormat:
    """Raw for HttpBody; otherwise as the client's Accept asks."""
    if endpoint.raw_response:
        return RawBody(endpoint)
    return EventStream(endpoint) if headers.accepts(EVENT_STREAM) else Ndjson(endpoint)
