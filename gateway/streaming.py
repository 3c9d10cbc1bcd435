"""Calls that stream, in either direction or both. A client that goes cancels the call; a slow one slows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from typing import Any

import grpc
from google.protobuf.message import Message

from gateway.calls import Invoker, bound, check_content_type, decoded, reply_whole
from gateway.endpoint import Endpoint
from gateway.errors import ErrorWriter
from gateway.exchange import ClientGone, Request, Response
from gateway.formats import StreamFormat, stream_format
from gateway.metadata import to_headers
from gateway.refusals import Stopping
from gateway.rpc import Call
from gateway.splitter import JsonSplitter
from gateway.uploads import UploadLimits, pieces

FIRST_MESSAGE_S = 2.0
"""So long the status line waits for a first message, since an error before it can still have its own HTTP status."""


class Silence(Exception):
    """Nothing came in the time allowed."""


class Session:
    """A call in progress beside what may end it early: the client goes, its body is bad, the gateway stops."""

    def __init__(self, call: Call, *early_ends: Coroutine[Any, Any, None]) -> None:
        self.call = call
        self._ends = {asyncio.create_task(end) for end in early_ends}
        self._reading: asyncio.Task[Any] | None = None

    async def next(self, read: Callable[[], Awaitable[Any]], timeout_s: float | None = None) -> Any:
        """What `read` gives. Raises Silence after `timeout_s`; the reading goes on, and the next call waits for it."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(read())
        done, _ = await asyncio.wait(
            {self._reading, *self._ends}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if self._reading in done:
            reading, self._reading = self._reading, None
            return reading.result()
        for end in done:
            end.result()  # raises why
        raise Silence

    async def close(self) -> None:
        """Cancels whatever still runs, and waits until it has."""
        self.call.cancel()
        tasks = [*self._ends, *([self._reading] if self._reading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Streamer:
    """Serves the endpoints that stream."""

    def __init__(
        self,
        invoker: Invoker,
        stopping: asyncio.Event,
        *,
        keep_alive_s: float,
        stalled_s: float = 300,
        uploads: UploadLimits | None = None,
    ) -> None:
        self._invoker, self._stopping, self._uploads = invoker, stopping, uploads or UploadLimits()
        self._keep_alive_s, self._stalled_s = keep_alive_s, stalled_s

    async def serve(
        self,
        endpoint: Endpoint,
        request: Request,
        captures: Mapping[str, str],
        response: Response,
        errors: ErrorWriter,
    ) -> None:
        """Raises what goes wrong before the first byte; afterwards the format says it, or the response is cut off."""
        session = await self._session(endpoint, request, captures)
        try:
            if endpoint.rpc.server_streaming:
                await self._stream(session, endpoint, stream_format(endpoint, request.headers), response, errors)
            else:
                payload = await session.next(session.call.reply)
                await reply_whole(endpoint, payload, await session.call.headers(), response)
        finally:
            await session.close()

    async def _session(self, endpoint: Endpoint, request: Request, captures: Mapping[str, str]) -> Session:
        if endpoint.rpc.client_streaming:
            check_content_type(endpoint, request)
            if endpoint.binder.raw_body:
                request.check_body(self._uploads.max_bytes)  # before the service is asked
            call = await self._invoker.start(endpoint, request, None)
            return Session(call, self._send(call, endpoint, request, captures), self._stopped())
        message = await bound(endpoint, request, captures, await self._invoker.read_body(endpoint, request))
        call = await self._invoker.start(endpoint, request, message.SerializeToString())
        return Session(call, _gone(request), self._stopped())

    async def _stream(
        self, session: Session, endpoint: Endpoint, form: StreamFormat, response: Response, errors: ErrorWriter
    ) -> None:
        first: Message | None = None
        ended = False
        try:
            first, ended = await self._first(session, endpoint)
            metadata = to_headers(await session.call.headers()) if first is not None or ended else []
            await response.start(200, [*form.headers(first), *metadata])
            if response.head:
                await response.end()
                return
            if first is not None:
                await self._write(response, form.message(first))
            if not ended:
                await self._rest(session, endpoint, form, response)
        except (ClientGone, asyncio.CancelledError):
            raise
        except Exception as error:
            if not response.started:
                raise
            await _end_with(errors.write(error, service=endpoint.rpc.service).body, form, response)
            return
        await _finish(form, response)

    async def _first(self, session: Session, endpoint: Endpoint) -> tuple[Message | None, bool]:
        """The first message, and whether the stream ended without one; (None, False) when it takes its time."""
        try:
            # Of raw bytes the first message tells the content type: there is no status line without it.
            limit_s = self._stalled_s if endpoint.raw_response else FIRST_MESSAGE_S
            payload = await session.next(session.call.read, limit_s)
        except Silence:
            return None, False
        return (None, True) if payload is None else (decoded(endpoint, payload), False)

    async def _rest(self, session: Session, endpoint: Endpoint, form: StreamFormat, response: Response) -> None:
        while True:
            try:
                payload = await session.next(session.call.read, self._keep_alive_s if form.keep_alive else None)
            except Silence:
                await self._write(response, form.keep_alive)
                continue
            if payload is None:
                return
            await self._write(response, form.message(decoded(endpoint, payload)))

    async def _write(self, response: Response, chunk: bytes) -> None:
        """Raises ClientGone for a client that takes nothing for too long: it would hold the service for ever."""
        try:
            async with asyncio.timeout(self._stalled_s):
                await response.write(chunk)
        except TimeoutError:
            raise ClientGone from None

    async def _send(self, call: Call, endpoint: Endpoint, request: Request, captures: Mapping[str, str]) -> None:
        """The request body as messages; then waits for the client to go. Raises ClientGone, BadValue, BodyTooLarge."""
        try:
            async for message in self._messages(endpoint, request, captures):
                await call.write(message.SerializeToString())
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the service has ended the call already: its answer is on the way
        await _gone(request)

    async def _messages(
        self, endpoint: Endpoint, request: Request, captures: Mapping[str, str]
    ) -> AsyncGenerator[Message]:
        """Path, query and content type go into the first message, which comes in any case if there are any."""
        raw = endpoint.binder.raw_body
        bodies = pieces(request, self._uploads) if raw else self._values(request)
        first = True
        async for body in bodies:
            if first:
                yield await bound(endpoint, request, captures, body)
            else:
                yield endpoint.binder.bind_next(body)
            first = False
        if first and (raw or captures or request.query):
            yield await bound(endpoint, request, captures, b"")

    async def _values(self, request: Request) -> AsyncGenerator[bytes]:
        splitter = JsonSplitter(self._invoker.max_body)
        async for chunk in request.chunks():
            for value in splitter.feed(chunk):
                yield value
        last = splitter.finish()
        if last is not None:
            yield last

    async def _stopped(self) -> None:
        await self._stopping.wait()
        raise Stopping("the gateway stops: connect again in a moment")


async def _gone(request: Request) -> None:
    await request.closed()
    raise ClientGone


async def _end_with(status: bytes, form: StreamFormat, response: Response) -> None:
    """An error after the status line. Without `end` the server cuts the response off, which clients notice."""
    last = form.error(status)
    if last is not None:
        await response.write(last)
        await response.end()


async def _finish(form: StreamFormat, response: Response) -> None:
    if not response.ended:
        last = form.end()
        if last:
            await response.write(last)
        await response.end()
