"""The Fanout over Redis: one subscriber connection per process. Redis away means slower, never an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from automesh.core.backoff import Backoff
from automesh.storage.fanout import DEFAULT_LIMIT, Subscription, Switchboard

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub

log = structlog.get_logger(__name__)

_TIMEOUT_S = 2.0  # of one command
_IDLE_S = 1.0  # silence after which the link is tried with a ping
_SILENCES = 3  # so many in a row and the link counts as dead
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_GONE = (RedisError, OSError)  # TimeoutError is an OSError


class RedisFanout:
    """An automesh.storage.fanout.Fanout. Use `open`, which runs its reader."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._switchboard = Switchboard()
        self._lock = asyncio.Lock()  # subscribe and unsubscribe reach Redis in the order they were decided
        self._pubsub: PubSub | None = None
        self._up = asyncio.Event()
        self._confirmed: dict[str, asyncio.Event] = {}
        self.lost = 0  # messages that could not be published

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, prefix: str = "automesh:", wait_s: float = 1.0, timeout_s: float = _TIMEOUT_S
    ) -> AsyncIterator[RedisFanout]:
        """Connects in the background; waits at most `wait_s` for it and goes on without Redis if need be.

        `timeout_s` is the limit of one command; the first that exceeds it makes the fan-out unhealthy.
        """
        client = redis.asyncio.Redis.from_url(
            url,
            protocol=2,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),  # our own loop reconnects
        )
        fanout = cls(client, prefix)
        reader = asyncio.create_task(fanout._run(), name="redis-fanout")
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(fanout._up.wait(), wait_s)
            yield fanout
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            with suppress(*_GONE):
                await client.aclose()

    @property
    def healthy(self) -> bool:
        return self._up.is_set()

    async def publish(self, channel: str, payload: bytes) -> None:
        if not self.healthy:
            self.lost += 1
            return
        try:
            await self._client.publish(self._prefix + channel, payload)
        except _GONE as error:
            self.lost += 1
            self._went_away(error)

    @asynccontextmanager
    async def subscribe(self, channel: str, *, limit: int = DEFAULT_LIMIT) -> AsyncIterator[Subscription]:
        subscription = Subscription(limit)
        self._switchboard.add(channel, subscription)
        try:
            await self._agree(channel)
            await self._wait_confirmed(channel)
            yield subscription
        finally:
            self._switchboard.remove(channel, subscription)
            await self._agree(channel)

    async def _agree(self, channel: str) -> None:
        """Makes Redis's view of one channel equal ours. On failure the reader makes all of it anew."""
        async with self._lock:
            pubsub, wanted, known = self._pubsub, channel in self._switchboard, channel in self._confirmed
            if pubsub is None or not self.healthy or wanted == known:
                return
            if wanted:
                self._confirmed[channel] = asyncio.Event()
            else:
                del self._confirmed[channel]
            command = pubsub.subscribe if wanted else pubsub.unsubscribe
            try:
                await command(self._prefix + channel)
            except _GONE as error:
                self._went_away(error)

    async def _wait_confirmed(self, channel: str) -> None:
        confirmed = self._confirmed.get(channel)
        if confirmed is not None and self.healthy:
            with suppress(TimeoutError):
                await asyncio.wait_for(confirmed.wait(), _TIMEOUT_S)

    async def _run(self) -> None:
        backoff = Backoff(first_s=_FIRST_PAUSE_S, most_s=_LONGEST_PAUSE_S)
        while True:
            try:
                await self._serve()
            except _GONE as error:
                if self.healthy:
                    backoff.reset()
                self._went_away(error)
            except Exception as error:  # whatever it is, live updates must come back
                log.exception("the reader of Redis failed")
                self._went_away(error)
            await asyncio.sleep(backoff.next_s())

    async def _serve(self) -> None:
        async with self._client.pubsub() as pubsub:
            await self._start(pubsub)
            silences = 0
            while silences <= _SILENCES:
                message = await pubsub.get_message(timeout=_IDLE_S)
                if not self.healthy:  # a command failed meanwhile, so this link is not to be trusted either
                    raise ConnectionError("a command to Redis failed")
                if message is None:
                    silences += 1
                    await pubsub.ping()
                    continue
                silences = 0
                self._receive(message)
        raise TimeoutError("Redis answers no ping")

    async def _start(self, pubsub: PubSub) -> None:
        async with self._lock:
            channels = self._switchboard.channels()
            self._confirmed = {channel: asyncio.Event() for channel in channels}
            hello = self._prefix + "hello"  # a subscriber connection needs at least one channel
            await pubsub.subscribe(hello, *(self._prefix + channel for channel in channels))
            self._pubsub = pubsub
            self._came_back()

    def _receive(self, message: dict[str, Any]) -> None:
        if message["type"] == "message":
            self._switchboard.deliver(self._channel(message), message["data"])
        elif message["type"] == "subscribe":
            confirmed = self._confirmed.get(self._channel(message))
            if confirmed is not None:
                confirmed.set()

    def _channel(self, message: dict[str, Any]) -> str:
        name: bytes = message["channel"]
        return name.decode().removeprefix(self._prefix)

    def _came_back(self) -> None:
        self._up.set()
        self._switchboard.mark_gap()
        log.info("live updates go through Redis")

    def _went_away(self, error: Exception) -> None:
        if self.healthy:
            self._up.clear()
            log.warning("Redis is away: live updates are slower, nothing is lost", error=str(error))
