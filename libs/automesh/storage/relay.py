"""Hints to and from the other replicas of a service over a Fanout. Best effort: what is lost is found by polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import orjson
import structlog

from automesh.storage.fanout import Fanout

log = structlog.get_logger(__name__)

MAX_WAITING = 10_000
GATHER_S = 0.005
"""Hints are gathered for so long, so that a burst becomes one message."""
BATCH = 500
LISTEN_S = 30.0

H = TypeVar("H", bound=Hashable)


class FanoutRelay(Generic[H]):
    """Carries hints of one kind. `send_forever` and `receive_forever` do its work."""

    def __init__(
        self,
        fanout: Fanout,
        *,
        channel: str,
        replica: str,
        gap: H,
        encode: Callable[[H], Any],
        decode: Callable[[Any], H],
    ) -> None:
        """`gap`: the hint that hints may have been missed. `encode` makes JSON of a hint, and `decode` reads it again.

        What `decode` cannot read (ValueError, TypeError, KeyError) counts as a gap: a newer replica may say more.
        """
        self._fanout, self._channel, self._replica = fanout, channel, replica
        self._gap, self._encode, self._decode = gap, encode, decode
        self._waiting: dict[H, None] = {}  # in order, each once
        self._filled = asyncio.Event()

    def send(self, hint: H) -> None:
        """Queues a hint; when too many wait, the new one is lost. Never waits, never raises."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting[hint] = None
            self._filled.set()

    async def send_forever(self) -> None:
        """Publishes what is queued."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(GATHER_S)
            batch = list(self._waiting)[:BATCH]
            for hint in batch:
                del self._waiting[hint]
            if not self._waiting:
                self._filled.clear()
            told = {"replica": self._replica, "hints": [self._encode(hint) for hint in batch]}
            await self._fanout.publish(self._channel, orjson.dumps(told))

    async def receive_forever(self, deliver: Callable[[H], None]) -> None:
        """Hands on what other replicas say."""
        async with self._fanout.subscribe(self._channel, limit=1024) as subscription:
            while True:
                payload = await subscription.get(LISTEN_S)
                for hint in [self._gap] if payload is None else self._hints(payload):
                    deliver(hint)

    def _hints(self, payload: bytes) -> list[H]:
        try:
            told = orjson.loads(payload)
            return [] if told["replica"] == self._replica else [self._decode(hint) for hint in told["hints"]]
        except (ValueError, TypeError, KeyError):
            log.warning("hint not understood", channel=self._channel, payload=payload[:200])
            return [self._gap]
