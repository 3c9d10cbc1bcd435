"""The ASGI application: finds the route, serves it, and makes sure that every request gets one answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import grpc
import structlog

from automesh.core.errors import AutomationError
from gateway.calls import Invoker
from gateway.codec import BadValue
from gateway.endpoint import JSON, Endpoint
from gateway.errors import CLIENT_CLOSED_REQUEST
from gateway.exchange import NO_CONTENT, ClientGone, Receive, Request, Response, Scope, Send
from gateway.metrics import IN_FLIGHT, MethodMetrics
from gateway.refusals import BodyTooLarge, HeadersTooLarge, MethodNotAllowed, RouteNotFound, Stopping
from gateway.routing import Match, parse_path
from gateway.site import Site
from gateway.streaming import Streamer

log = structlog.get_logger()

_SERVER_ERROR = 500
_OTHER = MethodMetrics("")  # what no rpc serves: pages, unknown paths


class Gateway:
    """Serves a Site. `site` may be replaced by a newer one at any time; requests in progress keep theirs."""

    def __init__(self, site: Site, invoker: Invoker, streamer: Streamer, *, max_headers: int, slow_s: float) -> None:
        self.site = site
        self._invoker, self._streamer = invoker, streamer
        self._max_headers, self._slow_s = max_headers, slow_s
        self._serving: set[asyncio.Task[Any]] = set()
        IN_FLIGHT.set_function(lambda: len(self._serving))
        self._draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an ASGI server runs every request in a task")
        self._serving.add(task)
        try:
            await self._serve(scope, receive, send)
        finally:
            self._serving.discard(task)

    async def drain(self, timeout_s: float) -> None:
        """Refuses what is new, waits for the requests being served, and cuts off those that take longer."""
        self._draining = True
        if self._serving:
            await asyncio.wait(tuple(self._serving), timeout=timeout_s)
        late = tuple(self._serving)
        for task in late:
            task.cancel()
        if late:
            log.warning("requests cut off", count=len(late))
            await asyncio.wait(late)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        site, started = self.site, time.perf_counter()
        try:
            request = Request(scope, receive, header_limit=self._max_headers)
        except HeadersTooLarge as error:
            await self._refuse(site, error, Response(send, ""), None)
            return
        response = Response(send, request.request_id, head=request.method == "HEAD")
        endpoint: Endpoint | None = None
        failure: BaseException | None = None
        try:
            found = self._route(site, request)
            if isinstance(found, Match):
                endpoint = found.target
                await self._call(site, endpoint, request, found.captures, response)
            else:
                await found(response)
        except ClientGone:
            response.status = response.status or CLIENT_CLOSED_REQUEST
        except asyncio.CancelledError:
            if not self._draining:
                raise
            await self._refuse(site, _stopping(), response, endpoint)
        except Exception as error:
            failure = error
            await self._refuse(site, error, response, endpoint, unread=request)
        self._account(endpoint, request, response, time.perf_counter() - started, failure)

    async def _call(
        self, site: Site, endpoint: Endpoint, request: Request, captures: Mapping[str, str], response: Response
    ) -> None:
        if endpoint.streams:
            await self._streamer.serve(endpoint, request, captures, response, site.errors)
        else:
            await self._invoker.unary(endpoint, request, captures, response)

    def _route(self, site: Site, request: Request) -> Match[Endpoint] | _Page:
        if self._draining:
            raise _stopping()
        page = site.pages.get(request.raw_path)
        if page is not None and request.method in ("GET", "HEAD"):
            return _Page(200, page.headers, page.body)
        path = parse_path(request.raw_path)
        match = site.routes.match(request.method, path)
        if match is None and request.method == "HEAD":
            match = site.routes.match("GET", path)
        if match is not None:
            return match
        allowed = set(site.routes.methods(path)) | ({"GET"} if page is not None else set())
        if not allowed:
            raise RouteNotFound(f"no service has the path {request.raw_path.decode('ascii', 'replace')[:200]}")
        allow = ", ".join(sorted(allowed | {"OPTIONS"} | ({"HEAD"} if "GET" in allowed else set())))
        if request.method == "OPTIONS":
            return _Page(NO_CONTENT, ((b"allow", allow.encode("ascii")),), b"")
        raise MethodNotAllowed(
            f"this path takes {', '.join(sorted(allowed))}, not {request.method[:20]}", headers={"allow": allow}
        )

    async def _refuse(
        self,
        site: Site,
        error: Exception,
        response: Response,
        endpoint: Endpoint | None,
        *,
        unread: Request | None = None,
    ) -> None:
        if response.started:
            return  # the response is cut off: nothing true can be added to it
        answer = site.errors.write(error, service=endpoint.rpc.service if endpoint else "")
        headers = [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in answer.headers]
        headers = [(b"content-type", JSON.encode()), *headers]
        uploading = isinstance(error, BodyTooLarge) or (endpoint is not None and endpoint.binder.raw_body)
        if unread is not None and uploading and unread.is_coming:
            await response.linger(answer.http_status, headers, answer.body, unread)
        else:
            await response.whole(answer.http_status, headers, answer.body)

    def _account(
        self,
        endpoint: Endpoint | None,
        request: Request,
        response: Response,
        seconds: float,
        failure: BaseException | None,
    ) -> None:
        (endpoint.metrics if endpoint else _OTHER).done(response.status, seconds)
        slow = seconds > self._slow_s and not (endpoint and endpoint.streams)
        if response.status < _SERVER_ERROR and not slow and _foreseen(failure):
            return
        fields = {
            "request_id": request.request_id,
            "method": request.method,
            "rpc": endpoint.rpc.full_name if endpoint else "",
            "status": response.status,
            "duration_s": round(seconds, 4),
        }
        if _foreseen(failure):
            log.warning("slow request" if failure is None else "request failed", error=_words(failure), **fields)
        else:
            log.error("unforeseen error", exc_info=failure, **fields)


def _words(failure: BaseException | None) -> str:
    if isinstance(failure, grpc.aio.AioRpcError):
        return f"{failure.code().name}: {failure.details()}"
    return str(failure or "")


def _stopping() -> Stopping:
    return Stopping("the gateway stops: connect again in a moment", headers={"connection": "close"})


def _foreseen(failure: BaseException | None) -> bool:
    return failure is None or isinstance(failure, AutomationError | BadValue | grpc.aio.AioRpcError)


class _Page:
    """An answer that needs no service."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, status: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes) -> None:
        self._status, self._headers, self._body = status, headers, body

    async def __call__(self, response: Response) -> None:
        await response.whole(self._status, self._headers, self._body)
