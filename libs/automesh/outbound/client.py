"""The one HTTP client to the world outside: allowed URLs, checked addresses, no redirects, bounded size and time.

The host is resolved here, once a call, and the connection goes to the address that was checked, so that a name which
changes its mind between check and use (DNS rebinding) gains nothing. Connections are never shared between calls.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from types import TracebackType

import httpx

from automesh.outbound.addresses import Address, Resolver, checked_addresses, system_resolver
from automesh.outbound.allowlist import AllowList, Target
from automesh.outbound.errors import (
    AnswerRefused,
    AnswerTooLarge,
    Unreachable,
    Untrusted,
)

CHUNK_BYTES = 256 * 1024
_RETRY_STATUS = frozenset({408, 425, 429})
_OK, _REDIRECT, _CLIENT_ERROR, _SERVER_ERROR = 200, 300, 400, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundLimits:
    """Bounds of every call; times are seconds, sizes bytes."""

    max_bytes: int = 1024**3
    """Of an answer that is fetched."""
    reply_bytes: int = 64 * 1024
    """Of the answer to a post; the rest is not read."""
    total_s: float = 600.0
    connect_s: float = 10.0
    silence_s: float = 30.0
    """The longest wait for the next bytes."""
    at_once: int = 16
    """Calls at the same time; further ones wait."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a post was answered with; the body is cut at `reply_bytes`."""

    status: int
    body: bytes


class OutboundClient:
    """Open it with `async with`. Errors are those of automesh.outbound.errors."""

    def __init__(
        self,
        allowed: AllowList,
        *,
        limits: OutboundLimits | None = None,
        ca_file: Path | None = None,
        resolve: Resolver = system_resolver,
        user_agent: str = "automesh",
    ) -> None:
        self._allowed, self._limits, self._resolve = allowed, limits or OutboundLimits(), resolve
        self._trust = httpx.create_ssl_context(trust_env=False)
        if ca_file is not None:
            self._trust.load_verify_locations(cafile=ca_file)
        self._agent = user_agent
        self._slots = asyncio.Semaphore(self._limits.at_once)

    async def __aenter__(self) -> OutboundClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open between calls."""

    def check(self, url: str) -> None:
        """Raises UrlNotAllowed unless the allow-list has it. Resolves nothing."""
        self._allowed.find(url)

    async def fetch(self, url: str, *, headers: Mapping[str, str] | None = None) -> AsyncGenerator[bytes, None]:
        """The body of a GET that is answered with 200, in chunks as they come. Close it when you stop early.

        Raises UrlNotAllowed, AddressNotAllowed, AnswerRefused, AnswerTooLarge, Untrusted; Unreachable if it may pass.
        """
        call = self._call("GET", url, headers)
        async with self._answer(call) as response:
            _require_ok(call.target, response)
            _require_plain(call.target, response)
            size, limit = 0, self._limits.max_bytes
            if _declared(response) > limit:
                raise _too_large(call.target, limit)
            chunks = response.aiter_raw(CHUNK_BYTES)
            while (chunk := await _next(chunks, call)) is not None:
                size += len(chunk)
                if size > limit:
                    raise _too_large(call.target, limit)
                yield chunk

    async def post(self, url: str, content: bytes, *, headers: Mapping[str, str] | None = None) -> Reply:
        """The answer to a POST, whatever its status. Raises as `fetch` does, but not for a status or an encoding."""
        call, limit = self._call("POST", url, headers, content), self._limits.reply_bytes
        async with self._answer(call) as response:
            body = bytearray()
            chunks = response.aiter_raw(CHUNK_BYTES)
            while len(body) < limit and (chunk := await _next(chunks, call)) is not None:
                body += chunk
            return Reply(response.status_code, bytes(body[:limit]))

    def _call(self, method: str, url: str, headers: Mapping[str, str] | None, content: bytes | None = None) -> _Call:
        target, private = self._allowed.find(url)
        deadline = asyncio.get_running_loop().time() + self._limits.total_s
        own = {
            "host": target.authority,
            "user-agent": self._agent,
            "accept": "*/*",
            "accept-encoding": "identity",
            "connection": "close",
        }
        given = {name.lower(): value for name, value in (headers or {}).items()}
        return _Call(method, target, private, {**given, **own}, content, deadline)

    @asynccontextmanager
    async def _answer(self, call: _Call) -> AsyncIterator[httpx.Response]:
        """The head of the answer; its body is still to come."""
        async with _slot(self._slots, call), self._connection() as connection:
            addresses = await checked_addresses(
                call.target,
                self._resolve,
                private=call.private,
                limit_s=min(self._limits.connect_s, call.left_s()),
            )
            response = await _sent(connection, call, addresses)
            try:
                yield response
            finally:
                await response.aclose()

    def _connection(self) -> httpx.AsyncClient:
        limits = self._limits
        return httpx.AsyncClient(
            verify=self._trust,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(limits.silence_s, connect=limits.connect_s),
        )


@dataclass(frozen=True, slots=True)
class _Call:
    """One call, from its check to its end."""

    method: str
    target: Target
    private: bool
    headers: Mapping[str, str]
    content: bytes | None
    deadline: float

    def left_s(self) -> float:
        """Raises Unreachable when the time is over."""
        left = self.deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise Unreachable(f"{self.target} took too long")
        return left

    def request_at(self, connection: httpx.AsyncClient, address: Address) -> httpx.Request:
        """The request to one address; certificate and Host are those of the name all the same."""
        host = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
        target = self.target
        query = f"?{target.query}" if target.query else ""
        url = f"{target.scheme}://{host}:{target.port}{target.path}{query}"
        request = connection.build_request(self.method, url, headers=dict(self.headers), content=self.content)
        request.extensions["sni_hostname"] = target.host
        return request


async def _sent(connection: httpx.AsyncClient, call: _Call, addresses: Sequence[Address]) -> httpx.Response:
    """The first address that can be connected to answers."""
    failure: Exception | None = None
    for address in addresses:
        try:
            async with asyncio.timeout(call.left_s()):
                return await connection.send(call.request_at(connection, address), stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if _is_certificate(error):
                host = call.target.host
                raise Untrusted(f"the certificate of {host} is not valid for it: {_cause(error)}") from error
            failure = error
        except (httpx.HTTPError, TimeoutError) as error:
            raise _unreachable(call.target, error) from error
    raise _unreachable(call.target, failure) from failure


@asynccontextmanager
async def _slot(slots: asyncio.Semaphore, call: _Call) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(call.left_s()):
            await slots.acquire()
    except TimeoutError:
        raise Unreachable(f"{call.target} had to wait for too many other calls") from None
    try:
        yield
    finally:
        slots.release()


async def _next(chunks: AsyncIterator[bytes], call: _Call) -> bytes | None:
    try:
        async with asyncio.timeout(call.left_s()):
            return await anext(chunks, None)
    except (httpx.HTTPError, httpx.StreamError, TimeoutError) as error:
        raise _unreachable(call.target, error) from error


def _require_ok(target: Target, response: httpx.Response) -> None:
    status = response.status_code
    if status == _OK:
        return
    if _REDIRECT <= status < _CLIENT_ERROR:
        raise AnswerRefused(f"{target} answers with a redirect ({status}), which is not followed: give the final URL")
    if status in _RETRY_STATUS or status >= _SERVER_ERROR:
        raise Unreachable(f"{target} answers with {status}")
    raise AnswerRefused(f"{target} answers with {status}", status=status)


def _require_plain(target: Target, response: httpx.Response) -> None:
    """What is compressed could be a thousand times as large as it says."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise AnswerRefused(f"{target} answers compressed ({encoding[:40]}) although it was asked not to")


def _declared(response: httpx.Response) -> int:
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _too_large(target: Target, limit: int) -> AnswerTooLarge:
    return AnswerTooLarge(f"{target} has more than the {limit} bytes that are allowed", limit=limit)


def _unreachable(target: Target, error: Exception | None) -> Unreachable:
    return Unreachable(f"{target} cannot be reached: {_cause(error)}")


def _cause(error: BaseException | None) -> str:
    """In a few words; of timeouts httpx has none."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "it took too long"
    return str(error)[:200] if error is not None and str(error) else type(error).__name__


def _is_certificate(error: BaseException) -> bool:
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, ssl.SSLCertVerificationError):
            return True
        at = at.__cause__ or at.__context__
    return False
