"""API keys over HTTP: `Authorization: Bearer am_…` is traded for a short access token, which is remembered."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc

from automesh.auth.v1 import token_service_pb2 as pb
from automesh.auth.v1 import token_service_pb2_grpc as rpc
from automesh.core.errors import AutomationError, Unauthenticated, Unavailable
from automesh.mesh.errors import from_rpc_error
from gateway.errors import status_of

AUTH = "auth"
KEY_PREFIX = "am_"
BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token and how long it lives, in seconds."""

    token: str
    lifetime_s: float


Exchange = Callable[[str], Awaitable[AccessToken]]
"""Trades an API key; raises Unauthenticated for one that is no good."""


class AuthExchange:
    """An Exchange that asks auth."""

    def __init__(self, channel: Callable[[str], grpc.aio.Channel], *, timeout_s: float = 10) -> None:
        self._channel, self._timeout_s = channel, timeout_s

    async def __call__(self, api_key: str) -> AccessToken:
        stub = rpc.TokenServiceStub(self._channel(AUTH))
        try:
            response = await stub.ExchangeApiKey(pb.ExchangeApiKeyRequest(api_key=api_key), timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            found = from_rpc_error(error)
            if isinstance(found, Unavailable):
                raise Unavailable(status_of(error, AUTH).message) from None
            raise found from None
        return AccessToken(response.tokens.access_token, response.tokens.expires_in.ToTimedelta().total_seconds())


@dataclass(frozen=True, slots=True)
class _Remembered:
    until: float
    authorization: str
    error: AutomationError | None = None


class ApiKeys:
    """Remembers tokens by the SHA-256 of their key, and refusals for a moment. Bounded: the least used go first.

    `longest_s` bounds how long a key that was revoked still opens this gateway.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        longest_s: float = 60,
        size: int = 10_000,
        margin_s: float = 30,
        failure_s: float = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exchange, self._clock, self._longest_s = exchange, clock, longest_s
        self._size, self._margin_s, self._failure_s = size, margin_s, failure_s
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[_Remembered]] = {}

    async def authorization(self, header: str) -> str:
        """What to send to the service for this Authorization header: unchanged unless it holds an API key."""
        if header[: len(BEARER)].lower() != BEARER:
            return header
        key = header[len(BEARER) :].strip()
        if not key.startswith(KEY_PREFIX):
            return header
        found = await self._lookup(key)
        if found.error is not None:
            raise found.error.with_traceback(None)
        return found.authorization

    async def _lookup(self, key: str) -> _Remembered:
        digest = hashlib.sha256(key.encode("latin-1", "replace")).digest()
        found = self._remembered.get(digest)
        if found is not None and found.until > self._clock():
            self._remembered.move_to_end(digest)
            return found
        task = self._asking.get(digest)
        if task is None:
            # One question for however many requests wait; it belongs to none of them, so none of them can cancel it.
            task = self._asking[digest] = asyncio.create_task(self._ask(digest, key))
        return await asyncio.shield(task)

    async def _ask(self, digest: bytes, key: str) -> _Remembered:
        try:
            answer = await self._answer(key)
            self._remembered[digest] = answer
            self._remembered.move_to_end(digest)
            while len(self._remembered) > self._size:
                self._remembered.popitem(last=False)
            return answer
        finally:
            del self._asking[digest]

    async def _answer(self, key: str) -> _Remembered:
        try:
            token = await self._exchange(key)
        except Unauthenticated as error:
            return _Remembered(self._clock() + self._failure_s, "", error)
        except AutomationError as error:
            return _Remembered(0, "", error)  # auth is away or busy: ask again for the next request
        lifetime_s = max(token.lifetime_s - self._margin_s, token.lifetime_s / 2)
        return _Remembered(self._clock() + min(lifetime_s, self._longest_s), f"Bearer {token.token}")

    async def close(self) -> None:
        """Ends the questions in flight."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
