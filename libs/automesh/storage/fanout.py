"""Live fan-out as a port: hints that something changed. Hints may be lost; the database is the truth."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, Self

DEFAULT_LIMIT = 256


class Subscription:
    """The messages of one channel for one listener, in a bounded queue: when full, the oldest goes."""

    def __init__(self, limit: int) -> None:
        self._messages: deque[bytes] = deque(maxlen=limit)
        self._changed = asyncio.Event()
        self._gap = False
        self.dropped = 0

    async def get(self, timeout_s: float) -> bytes | None:
        """The next message; None when the time is up or messages may have been missed: then read the truth."""
        if not self._messages and not self._gap:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                return None
        if self._gap:
            self._gap = False
            self._settle()
            return None
        return self._take()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._messages:
            self._gap = False
            self._changed.clear()
            await self._changed.wait()
        return self._take()

    def offer(self, payload: bytes) -> None:
        """For a Fanout: delivers one message."""
        if len(self._messages) == self._messages.maxlen:
            self.dropped += 1
            self._gap = True
        self._messages.append(payload)
        self._changed.set()

    def mark_gap(self) -> None:
        """For a Fanout: messages may have been missed here."""
        self._gap = True
        self._changed.set()

    def _take(self) -> bytes:
        payload = self._messages.popleft()
        self._settle()
        return payload

    def _settle(self) -> None:
        if not self._messages and not self._gap:
            self._changed.clear()


class Fanout(Protocol):
    """Publish and subscribe, best effort. Nothing here ever raises because the broker is away."""

    @property
    def healthy(self) -> bool:
        """Whether messages get through at the moment; if not, callers poll."""
        ...

    async def publish(self, channel: str, payload: bytes) -> None:
        """Tells all subscribers of `channel`, of all processes; lost while unhealthy."""
        ...

    def subscribe(self, channel: str, *, limit: int = DEFAULT_LIMIT) -> AbstractAsyncContextManager[Subscription]:
        """Listens. Where the broker is up, what is published after entering is seen: subscribe, then read the truth."""
        ...


class Switchboard:
    """Which subscriptions of this process listen to which channel."""

    def __init__(self) -> None:
        self._by_channel: dict[str, set[Subscription]] = {}

    def add(self, channel: str, subscription: Subscription) -> bool:
        """Adds one; whether it is the first of its channel."""
        first = channel not in self._by_channel
        self._by_channel.setdefault(channel, set()).add(subscription)
        return first

    def remove(self, channel: str, subscription: Subscription) -> bool:
        """Removes one; whether it was the last of its channel."""
        listeners = self._by_channel[channel]
        listeners.discard(subscription)
        if not listeners:
            del self._by_channel[channel]
        return not listeners

    def __contains__(self, channel: str) -> bool:
        return channel in self._by_channel

    def channels(self) -> list[str]:
        """All channels with a listener."""
        return list(self._by_channel)

    def deliver(self, channel: str, payload: bytes) -> None:
        """Hands a message to every listener of its channel."""
        for subscription in self._by_channel.get(channel, ()):
            subscription.offer(payload)

    def mark_gap(self) -> None:
        """Tells every listener that messages may have been missed."""
        for listeners in self._by_channel.values():
            for subscription in listeners:
                subscription.mark_gap()


class LocalFanout:
    """A Fanout inside one process: for tests, and where there is no Redis."""

    def __init__(self) -> None:
        self._switchboard = Switchboard()
        self.healthy = True

    async def publish(self, channel: str, payload: bytes) -> None:
        if self.healthy:
            self._switchboard.deliver(channel, payload)

    @asynccontextmanager
    async def subscribe(self, channel: str, *, limit: int = DEFAULT_LIMIT) -> AsyncIterator[Subscription]:
        subscription = Subscription(limit)
        self._switchboard.add(channel, subscription)
        try:
            yield subscription
        finally:
            self._switchboard.remove(channel, subscription)
