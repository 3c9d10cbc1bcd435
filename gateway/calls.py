"""From an HTTP request to a call: the message, the metadata, the deadline; and unary calls whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from automesh.core.errors import InternalError
from automesh.core.ids import new_id
from gateway.api_keys import ApiKeys
from gateway.conditional import (
    IF_MATCH,
    IF_NONE_MATCH,
    NOT_MODIFIED,
    fill_expected,
    is_known,
    tag_headers,
)
from gateway.endpoint import JSON, Endpoint
from gateway.exchange import ClientGone, HeaderList, Request, Response
from gateway.formats import raw_headers
from gateway.metadata import Deadlines, to_headers, to_metadata
from gateway.refusals import BodyTooSlow, UnsupportedContent
from gateway.rpc import Call, Metadata, Upstream

WATCH_AFTER_S = 0.05  # most calls end sooner, and whether their client is there does not matter so much
BIG_BYTES = 64 * 1024  # from here on reading and writing JSON takes long enough to be noticed by others
_JSON_HEADERS = [(b"content-type", JSON.encode())]
_JSON_TYPES = frozenset({"", JSON, "text/json", "application/x-ndjson", "application/json-seq"})


class Invoker:
    """Makes the calls that requests ask for."""

    def __init__(
        self,
        upstream: Upstream,
        api_keys: ApiKeys,
        deadlines: Deadlines,
        *,
        max_body: int,
        body_timeout_s: float = 60,
        trust_forwarded: bool = False,
    ) -> None:
        self._upstream, self._api_keys, self._deadlines = upstream, api_keys, deadlines
        self.max_body, self._body_timeout_s = max_body, body_timeout_s
        self._trust_forwarded = trust_forwarded

    async def unary(
        self, endpoint: Endpoint, request: Request, captures: Mapping[str, str], response: Response
    ) -> None:
        """One request, one response."""
        message = await bound(endpoint, request, captures, await self.read_body(endpoint, request))
        call = await self.start(endpoint, request, message.SerializeToString())
        payload = await _reply(call, request)
        if endpoint.etag is None:
            await reply_whole(endpoint, payload, await call.headers(), response)
        else:
            known = request.headers.get(IF_NONE_MATCH)
            await reply_unless_known(endpoint, payload, await call.headers(), response, known)

    async def read_body(self, endpoint: Endpoint, request: Request) -> bytes:
        """The body, of a type that the method takes. A method that takes none gets none."""
        check_content_type(endpoint, request)
        try:
            async with asyncio.timeout(self._body_timeout_s):
                body = await request.body(self.max_body)
        except TimeoutError:
            raise BodyTooSlow(
                f"the request body did not come within {self._body_timeout_s:g} s", headers={"connection": "close"}
            ) from None
        if not endpoint.binder.takes_body:
            if body.strip() not in (b"", b"{}"):
                raise UnsupportedContent(
                    f"{endpoint.rule.method} {endpoint.rule.template} takes no request body: use query parameters"
                )
            return b""
        return body

    async def start(self, endpoint: Endpoint, request: Request, payload: bytes | None) -> Call:
        """Starts the call. Raises Unauthenticated for an API key that is no good, BadHeader."""
        headers = request.headers
        timeout_s = self._deadlines.timeout_s(headers, streaming=endpoint.streams)
        metadata = to_metadata(
            headers,
            request_id=request.request_id,
            authorization=await self._api_keys.authorization(headers.get("authorization")),
            peer=request.peer,
            trust_forwarded=self._trust_forwarded,
        )
        return self._upstream.call(endpoint.rpc, payload, metadata, timeout_s)


async def bound(endpoint: Endpoint, request: Request, captures: Mapping[str, str], body: bytes) -> Message:
    """As `bind`, but out of the way of other requests when the body is big."""
    if len(body) < BIG_BYTES:
        return bind(endpoint, request, captures, body)
    return await asyncio.to_thread(bind, endpoint, request, captures, body)


def bind(endpoint: Endpoint, request: Request, captures: Mapping[str, str], body: bytes) -> Message:
    """The request message, with what headers may add: Idempotency-Key, If-Match and Last-Event-ID. Raises BadValue,
    BadHeader."""
    binder = endpoint.binder
    message: Any = binder.bind(captures, request.query, body, request.headers.get("content-type"))
    if binder.request_id and not message.request_id:
        # The mesh repeats a call whose backend died, and that must not do twice what was asked for once.
        message.request_id = request.headers.get("idempotency-key") or new_id("once")
    if endpoint.expected and (expected := request.headers.get(IF_MATCH)):
        fill_expected(message, endpoint.expected, expected)
    last_event = request.headers.get("last-event-id")
    if last_event and binder.cursor and not message.cursor:
        message.cursor = last_event
    return message  # type: ignore[no-any-return] # its class is made at run time


def check_content_type(endpoint: Endpoint, request: Request) -> None:
    """Raises UnsupportedContent for a body that says it is something else than JSON, unless the method takes bytes."""
    media_type = request.headers.media_type
    if media_type in _JSON_TYPES or not endpoint.binder.takes_body or endpoint.binder.raw_body:
        return
    # What curl -d says of anything: refused as well, for a browser sends it without asking first (CORS).
    raise UnsupportedContent(
        f"the request body must be application/json, not {media_type[:80]}", contentType=media_type
    )


async def reply_whole(endpoint: Endpoint, payload: bytes, metadata: Metadata, response: Response) -> None:
    """Sends the one response of a call."""
    headers: HeaderList
    if endpoint.raw_response:
        content_type, body = endpoint.raw(decoded(endpoint, payload))
        headers = raw_headers(content_type)
    else:
        headers, body = _JSON_HEADERS, await shown(endpoint, payload)
    await response.whole(200, [*headers, *to_headers(metadata)], body)


async def reply_unless_known(
    endpoint: Endpoint, payload: bytes, metadata: Metadata, response: Response, known: str
) -> None:
    """Sends an answer with an ETag; without a body when `known` (If-None-Match) names it."""
    message = decoded(endpoint, payload)
    etag = endpoint.etag(message) if endpoint.etag is not None else ""
    headers = [*tag_headers(etag), *to_headers(metadata)]
    if is_known(etag, known):
        await response.whole(NOT_MODIFIED, headers, b"")
        return
    big = len(payload) >= BIG_BYTES
    body = await asyncio.to_thread(endpoint.json, message) if big else endpoint.json(message)
    await response.whole(200, [*_JSON_HEADERS, *headers], body)


async def shown(endpoint: Endpoint, payload: bytes) -> bytes:
    """The response as JSON; a big one is made out of the way of other requests."""
    if len(payload) < BIG_BYTES:
        return endpoint.json(decoded(endpoint, payload))
    return await asyncio.to_thread(lambda: endpoint.json(decoded(endpoint, payload)))


def decoded(endpoint: Endpoint, payload: bytes) -> Message:
    """The response message; a service whose protos are others than ours is an error of ours, not of the client."""
    try:
        return endpoint.response(payload)
    except DecodeError as error:
        raise InternalError(
            f"{endpoint.rpc.service} answered with something that is no {endpoint.rpc.response.name}"
        ) from error


async def _reply(call: Call, request: Request) -> bytes:
    """The reply; when the client goes away meanwhile, the call is cancelled and ClientGone raised."""
    watching: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    timer = loop.call_later(WATCH_AFTER_S, lambda: watching.append(loop.create_task(_cancel_when_gone(call, request))))
    try:
        return await call.reply()
    except asyncio.CancelledError:
        if request.gone:
            raise ClientGone from None
        call.cancel()
        raise
    except grpc.aio.AioRpcError:
        if request.gone:
            raise ClientGone from None
        raise
    finally:
        timer.cancel()
        for task in watching:
            task.cancel()


async def _cancel_when_gone(call: Call, request: Request) -> None:
    await request.closed()
    call.cancel()
