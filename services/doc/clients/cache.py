"""The cache in Redis: sealed, since it is text of documents; gone or slow, it has nothing, and nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import structlog
import zstandard

from automesh.core.backoff import Backoff
from automesh.core.errors import AutomationError
from automesh.storage.sealing import Sealer, place
from services.doc.domain.caching.ports import MAX_VALUE

if TYPE_CHECKING:
    import redis.asyncio

log = structlog.get_logger(__name__)

TIMEOUT_S = 0.05
CONNECTIONS = 8
FAILURES = 3
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
T = TypeVar("T")


class Breaker:
    """Closed while it works. After some failures in a row nothing is tried for a while; then one call is, to see."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._backoff = Backoff(first_s=_FIRST_PAUSE_S, most_s=_LONGEST_PAUSE_S)
        self._failures = 0
        self._until = 0.0
        self._trying = False

    def lets_try(self) -> bool:
        """Whether to try. While it is open one caller after each pause hears yes."""
        if self._failures < FAILURES:
            return True
        if self._now() < self._until:
            return False
        self._trying, self._until = True, self._now() + _FIRST_PAUSE_S  # the others wait for how this one fares
        return True

    def worked(self) -> bool:
        """Whether it had been open."""
        was_open, self._failures, self._trying = self._failures >= FAILURES, 0, False
        self._backoff.reset()
        return was_open

    def failed(self) -> bool:
        """Whether it has just opened. Calls that had begun before it did say nothing new."""
        if self._failures >= FAILURES and not self._trying:
            return False
        self._failures, self._trying = min(self._failures + 1, FAILURES + 1), False
        if self._failures >= FAILURES:
            self._until = self._now() + self._backoff.next_s()
        return self._failures == FAILURES


class RedisCache:
    """A services.doc.domain.caching.ports.Cache. Values are compressed and sealed for their key."""

    shared = True

    def __init__(self, client: redis.asyncio.Redis, sealer: Sealer, *, prefix: str, timeout_s: float) -> None:
        self._client, self._sealer, self._prefix, self._timeout_s = client, sealer, prefix, timeout_s
        self._breaker, self._slots = Breaker(), asyncio.Semaphore(CONNECTIONS)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, sealer: Sealer, *, prefix: str = "automesh:doc:cache:", timeout_s: float = TIMEOUT_S
    ) -> AsyncIterator[RedisCache]:
        """Connects when it is first asked. `timeout_s` is what a call takes at most."""
        import redis.asyncio as redis  # noqa: PLC0415 - only where there is one
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - the same
        from redis.backoff import NoBackoff  # noqa: PLC0415 - the same

        client = redis.Redis.from_url(
            url,
            protocol=2,
            max_connections=CONNECTIONS,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            yield cls(client, sealer, prefix=prefix, timeout_s=timeout_s)
        finally:
            with suppress(Exception):
                await client.aclose()

    async def get(self, key: str) -> bytes | None:
        """See Cache. A value that does not unseal is none."""
        sealed = await self._tried(lambda: self._client.get(self._prefix + key))
        if not isinstance(sealed, bytes):
            return None
        try:
            return self._opened(key, sealed)
        except (AutomationError, zstandard.ZstdError):
            await self.delete(key)
            return None

    async def set(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """See Cache."""
        if len(value) > MAX_VALUE:
            return
        packed = zstandard.ZstdCompressor(level=1).compress(value)
        sealed = self._sealer.seal(packed, place("doc", "cache", key))
        await self._tried(lambda: self._client.set(self._prefix + key, sealed, px=max(1, int(ttl_s * 1000))))

    async def delete(self, key: str) -> None:
        """See Cache."""
        await self._tried(lambda: self._client.delete(self._prefix + key))

    def _opened(self, key: str, sealed: bytes) -> bytes:
        packed = self._sealer.unseal(sealed, place("doc", "cache", key))
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=MAX_VALUE)

    async def _tried(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """None while Redis is away, and while all connections are busy; no call takes longer than the limit."""
        if not await self._slot():
            return None
        try:
            if not self._breaker.lets_try():
                return None
            async with asyncio.timeout(self._timeout_s):
                answer = await call()
        except Exception as error:  # whatever a driver raises when its connection breaks: a miss
            if self._breaker.failed():
                log.warning("the cache is away: everything is made anew", error=str(error) or type(error).__name__)
            return None
        finally:
            self._slots.release()
        if self._breaker.worked():
            log.info("the cache is back")
        return answer

    async def _slot(self) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._slots.acquire()
        except TimeoutError:
            return False
