"""Signals to and from the other replicas over a Fanout. Best effort: what is lost is found by polling."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import orjson
import structlog

from automesh.storage.fanout import Fanout
from services.orchestrator.domain.signals import Signal, Signals, Topic

log = structlog.get_logger(__name__)

CHANNEL = "orchestrator.signals"
MAX_WAITING = 10_000
GATHER_S = 0.005
"""Signals are gathered for so long, so that a burst becomes one message."""
BATCH = 500
LISTEN_S = 30.0


class FanoutRelay:
    """A services.orchestrator.domain.signals.Relay. `send_forever` and `receive_forever` do its work."""

    def __init__(self, fanout: Fanout, *, replica: str) -> None:
        self._fanout = fanout
        self._replica = replica
        self._waiting: dict[Signal, None] = {}  # in order, each once
        self._filled = asyncio.Event()

    def send(self, signal: Signal) -> None:
        """Queues a signal; when too many wait, the new one is lost."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting[signal] = None
            self._filled.set()

    async def send_forever(self) -> None:
        """Publishes what is queued."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(GATHER_S)
            batch = list(self._waiting)[:BATCH]
            for signal in batch:
                del self._waiting[signal]
            if not self._waiting:
                self._filled.clear()
            await self._fanout.publish(CHANNEL, _encode(self._replica, batch))

    async def receive_forever(self, signals: Signals) -> None:
        """Hands what other replicas say to the listeners of this one."""
        async with self._fanout.subscribe(CHANNEL, limit=1024) as subscription:
            while True:
                payload = await subscription.get(LISTEN_S)
                if payload is None:
                    signals.deliver(Signal(Topic.GAP))
                    continue
                for signal in self._decode(payload):
                    signals.deliver(signal)

    def _decode(self, payload: bytes) -> list[Signal]:
        try:
            told = orjson.loads(payload)
            if told["replica"] == self._replica:
                return []
            return [Signal(**{**fields, "topic": Topic(fields["topic"])}) for fields in told["signals"]]
        except (ValueError, TypeError, KeyError):  # a newer replica may say what we do not know
            log.warning("signal not understood", payload=payload[:200])
            return [Signal(Topic.GAP)]


def _encode(replica: str, signals: list[Signal]) -> bytes:
    return orjson.dumps({"replica": replica, "signals": [asdict(signal) for signal in signals]})
