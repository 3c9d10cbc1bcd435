"""Webhooks: how deliveries are signed, when they are tried again, and who carries them. Pure.

Signatures are those of Standard Webhooks: HMAC-SHA256 with the secret over "<id>.<timestamp>.<body>".
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlsplit

from automesh.core.clock import Clock
from automesh.core.errors import ValidationError

HOLD_FOR = timedelta(minutes=2)
"""A try is over by then, or its process is gone."""
MAX_URL = 2048
MAX_PENDING = 1000
"""Deliveries of one webhook that may wait; what comes beyond that is refused by whoever keeps them."""
TOO_MANY_WAIT = f"{MAX_PENDING} events wait for this webhook already: mend its receiver"
SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"
MAX_ERROR = 500
WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=7),
    timedelta(hours=10),
)
"""Before the second try, the third, and so on: about a day in all."""
MAX_TRIES = len(WAITS) + 1


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one webhook. `last_status` 0: there was no answer; `next_at` None: never again."""

    delivery_id: str
    webhook_id: str
    event: str
    state: State
    attempts: int
    last_status: int
    last_error: str
    created_at: datetime
    next_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery that this replica tries now, for the `attempt`th time."""

    delivery_id: str
    tenant_id: str
    webhook_id: str
    url: str
    secret: bytes
    event: str
    body: bytes
    attempt: int

    def headers(self, now: datetime) -> Mapping[str, str]:
        """What goes with the body."""
        timestamp = int(now.timestamp())
        return {
            "content-type": "application/json",
            "user-agent": "automesh-webhooks",
            "webhook-id": self.delivery_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self.secret, self.delivery_id, timestamp, self.body),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What a try came to. Status 0 and an error: there was no answer."""

    status: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is written down of a try; `again_in` None: there is no next one."""

    state: State
    status: int
    error: str
    again_in: timedelta | None = None


def outcome_of(answer: Answer, attempt: int) -> Outcome:
    """2xx is delivered; anything else is tried again, up to MAX_TRIES."""
    if 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's success
        return Outcome(state=State.DELIVERED, status=answer.status, error="")
    error = (answer.error or _told(answer.status))[:MAX_ERROR]
    if attempt >= MAX_TRIES:
        return Outcome(state=State.FAILED, status=answer.status, error=error)
    return Outcome(state=State.PENDING, status=answer.status, error=error, again_in=WAITS[attempt - 1])


def sign(secret: bytes, delivery_id: str, timestamp: int, body: bytes) -> str:
    """The webhook-signature header: "v1," and base64."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


def shown(secret: bytes) -> str:
    """The secret as people paste it into a receiver."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


class Sender(Protocol):
    """Sends bodies to URLs."""

    def check(self, url: str) -> None:
        """Raises ValidationError unless the operator's allow-list lets webhooks go there."""
        ...

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One try, bounded in time; never raises because of the other side."""
        ...


class DeliveryQueue(Protocol):
    """Deliveries of all tenants that wait. Every method may raise Unavailable while the database is away."""

    async def claim(self, *, limit: int, hold_for: timedelta) -> Sequence[Claimed]:
        """Takes deliveries that are due, at most one of each webhook that none is held of."""
        ...

    async def record(self, claimed: Claimed, outcome: Outcome) -> Delivery | None:
        """What came of a try; None when the delivery went on without us."""
        ...


class Courier:
    """Carries deliveries; any number of replicas may have one."""

    def __init__(self, queue: DeliveryQueue, sender: Sender, *, clock: Clock) -> None:
        self._queue, self._sender, self._clock = queue, sender, clock

    async def take(self, limit: int) -> Sequence[Claimed]:
        """Deliveries to be tried now."""
        return await self._queue.claim(limit=limit, hold_for=HOLD_FOR)

    async def carry(self, claimed: Claimed) -> Delivery | None:
        """One try, written down; None when another replica has taken over."""
        answer = await self._sender.send(claimed.url, claimed.headers(self._clock()), claimed.body)
        return await self._queue.record(claimed, outcome_of(answer, claimed.attempt))


def check_url(url: str, *, field: str) -> None:
    """Raises ValidationError for what is no address of a webhook, whatever the allow-list says."""
    if len(url) > MAX_URL or not url.isprintable() or " " in url:
        raise ValidationError(f"a webhook's url has at most {MAX_URL} printable characters and no space", field=field)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValidationError(f"{field} is not a URL: {error}", field=field) from error
    if parts.scheme not in {"https", "http"} or not host:
        raise ValidationError("a webhook's url begins with https:// and names a host", field=field)
    if parts.username is not None or parts.fragment:
        raise ValidationError("a webhook's url holds no user, no password and no fragment", field=field)


def _told(status: int) -> str:
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's redirections
        return f"the receiver answered {status}: redirects are not followed, give the final URL"
    return f"the receiver answered {status}"
