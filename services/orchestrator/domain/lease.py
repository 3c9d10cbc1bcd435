"""Leases: a task in the hands of one agent for a while, and the tokens that name them."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from automesh.core.errors import AutomationError
from services.orchestrator.domain.document import Document
from services.orchestrator.domain.task import Failure, Status

_VERSION = b"\x01"
_MAC_BYTES = 16
_ATTEMPT_BYTES = 4
_CONTEXT = b"automesh lease token"


@dataclass(frozen=True, slots=True)
class LeaseKey:
    """One lease: `attempt` is the fencing epoch, so no two leases of a task are equal."""

    task_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long things last."""

    lease_ttl: timedelta = timedelta(seconds=15)
    heartbeat: timedelta = timedelta(seconds=5)
    offer_for: timedelta = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """Agents that want work of these types; `slots` names an agent once for each task it can take.

    An empty `tenant_id` asks for the tasks of all tenants.
    """

    types: tuple[str, ...]
    tenant_id: str
    slots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What an agent said about a running task; None leaves what there is."""

    lease_key: LeaseKey
    agent_id: str
    fraction: float | None = None
    message: str = ""
    checkpoint: bytes | None = None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attempt: exactly one of `result` and `failure` is set. `jitter` stretches the wait for a retry."""

    lease_key: LeaseKey
    agent_id: str
    result: Document | None = None
    failure: Failure | None = None
    jitter: float = 1.0


@dataclass(frozen=True, slots=True)
class Settled:
    """A recorded outcome and what became of the task. A repeated one has `fresh` False."""

    lease_key: LeaseKey
    status: Status
    fresh: bool = True
    retry_in_s: float = 0.0


class Ended(StrEnum):
    """Why a lease is over although its agent did not end it."""

    STALE = "STALE"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class LeaseLoss:
    """What happened to a lease that was lost."""

    ended: Ended
    text: str = ""


@dataclass(frozen=True, slots=True)
class Reaped:
    """A lease that the reaper took back, and what became of the task."""

    lease_key: LeaseKey
    agent_id: str
    status: Status
    ended: Ended
    retry_in_s: float = 0.0


class LeaseTokens:
    """Makes and reads lease tokens: attempt, task id, key id and a MAC, so that none can be made up.

    `key_of` gives the secret of a key id, or None; `active` is the one that new tokens use.
    """

    def __init__(self, key_of: Callable[[str], bytes | None], active: str) -> None:
        self._key_of = key_of
        self._active = active
        if key_of(active) is None:
            raise AutomationError(f"the active key {active!r} is not in the keyring", keyId=active)

    def issue(self, lease_key: LeaseKey) -> bytes:
        """The token of a lease; the same one each time."""
        key_id, task_id = self._active.encode(), lease_key.task_id.encode()
        body = b"".join(
            (
                _VERSION,
                bytes([len(key_id)]),
                key_id,
                lease_key.attempt.to_bytes(_ATTEMPT_BYTES, "big"),
                task_id,
            )
        )
        return body + self._mac(self._active, body)

    def read(self, token: bytes) -> LeaseKey | None:
        """The lease of a token; None when it is not one of ours."""
        body, mac = token[:-_MAC_BYTES], token[-_MAC_BYTES:]
        attempt_at = 2 + (body[1] if len(body) > 1 else 0)
        task_at = attempt_at + _ATTEMPT_BYTES
        if body[:1] != _VERSION or len(body) <= task_at:
            return None
        key_id = body[2:attempt_at].decode("ascii", "replace")
        if self._key_of(key_id) is None or not hmac.compare_digest(mac, self._mac(key_id, body)):
            return None
        return LeaseKey(body[task_at:].decode(), int.from_bytes(body[attempt_at:task_at], "big"))

    def read_all(self, tokens: Sequence[bytes]) -> dict[bytes, LeaseKey | None]:
        """The lease of each token."""
        return {token: self.read(token) for token in tokens}

    def _mac(self, key_id: str, body: bytes) -> bytes:
        secret = hmac.digest(self._key_of(key_id) or b"", _CONTEXT, "sha256")
        return hmac.digest(secret, body, "sha256")[:_MAC_BYTES]
