"""Hints between replicas that have the same room open, over the fan-out."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import orjson
import structlog

from automesh.storage.fanout import Fanout, Subscription
from services.doc.domain.editing.ports import Hint
from services.doc.domain.editing.said import PresenceOf

log = structlog.get_logger(__name__)


class FanoutWire:
    """A services.doc.domain.editing.ports.RoomWire."""

    def __init__(self, fanout: Fanout, *, replica: str, look_every_s: float) -> None:
        self._fanout, self._replica, self._look_every_s = fanout, replica, look_every_s

    async def say(self, room_id: str, hint: Hint) -> None:
        """Lost while the broker is away."""
        await self._fanout.publish(_channel(room_id), orjson.dumps({"from": self._replica, **_encoded(hint)}))

    @asynccontextmanager
    async def hear(self, room_id: str) -> AsyncGenerator[AsyncGenerator[Hint, None]]:
        """Subscribed while it is open."""
        async with (
            self._fanout.subscribe(_channel(room_id)) as subscription,
            aclosing(self._hints(subscription)) as hints,
        ):
            yield hints

    async def _hints(self, subscription: Subscription) -> AsyncGenerator[Hint, None]:
        while True:
            payload = await subscription.get(self._look_every_s)
            hint = Hint() if payload is None else self._decoded(payload)
            if hint is not None:
                yield hint

    def _decoded(self, payload: bytes) -> Hint | None:
        try:
            told = orjson.loads(payload)
            if told["from"] == self._replica:
                return None
            there = told.get("presence")
            presence = PresenceOf(there[0], there[1], base64.b64decode(there[2]), bool(there[3])) if there else None
            return Hint(presence, bool(told.get("hello")))
        except (ValueError, TypeError, KeyError, IndexError):
            log.warning("hint not understood", payload=payload[:200])
            return Hint()


def _encoded(hint: Hint) -> dict[str, object]:
    told: dict[str, object] = {"hello": True} if hint.hello else {}
    if hint.presence is not None:
        there = hint.presence
        told["presence"] = [there.user, there.client, base64.b64encode(there.state).decode(), there.gone]
    return told


def _channel(room_id: str) -> str:
    return f"doc:edit:{room_id}"
