"""Hints about runs to and from the other replicas over a Fanout. Best effort: what is lost is found by polling."""

from __future__ import annotations

import asyncio

import orjson
import structlog

from automesh.storage.fanout import Fanout
from services.model.domain.runs.signals import GAP, RunSignals

log = structlog.get_logger(__name__)

CHANNEL = "model.runs"
MAX_WAITING = 10_000
GATHER_S = 0.005
"""Hints are gathered for so long, so that a burst becomes one message."""
BATCH = 500
LISTEN_S = 30.0


class RunRelay:
    """A services.model.domain.run_signals.Relay. `send_forever` and `receive_forever` do its work."""

    def __init__(self, fanout: Fanout, *, replica: str) -> None:
        self._fanout = fanout
        self._replica = replica
        self._waiting: dict[str, None] = {}  # in order, each once
        self._filled = asyncio.Event()

    def send(self, run_id: str) -> None:
        """Queues a hint; when too many wait, the new one is lost."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting[run_id] = None
            self._filled.set()

    async def send_forever(self) -> None:
        """Publishes what is queued."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(GATHER_S)
            batch = list(self._waiting)[:BATCH]
            for run_id in batch:
                del self._waiting[run_id]
            if not self._waiting:
                self._filled.clear()
            await self._fanout.publish(CHANNEL, orjson.dumps({"replica": self._replica, "runs": batch}))

    async def receive_forever(self, signals: RunSignals) -> None:
        """Hands what other replicas say to the listeners of this one."""
        async with self._fanout.subscribe(CHANNEL, limit=1024) as subscription:
            while True:
                payload = await subscription.get(LISTEN_S)
                for run_id in [GAP] if payload is None else self._decode(payload):
                    signals.deliver(run_id)

    def _decode(self, payload: bytes) -> list[str]:
        try:
            told = orjson.loads(payload)
            return [] if told["replica"] == self._replica else [str(run_id) for run_id in told["runs"]]
        except (ValueError, TypeError, KeyError):  # a newer replica may say what we do not know
            log.warning("hint not understood", payload=payload[:200])
            return [GAP]
