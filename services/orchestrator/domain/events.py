"""What the orchestrator says to an agent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from services.orchestrator.domain.lease import LeaseLoss
from services.orchestrator.domain.task import Task


@dataclass(frozen=True, slots=True)
class Attached:
    """Which of the leases the agent named are still its own."""

    keep: tuple[bytes, ...]
    drop: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Leased:
    """Here is work."""

    token: bytes
    task: Task


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease is over: stop working on it."""

    token: bytes
    loss: LeaseLoss


@dataclass(frozen=True, slots=True)
class Acked:
    """The end of an attempt is recorded, or was stale."""

    token: bytes
    stale: bool


@dataclass(frozen=True, slots=True)
class Beat:
    """I am alive."""


@dataclass(frozen=True, slots=True)
class Goaway:
    """This replica goes away: reconnect after a while."""

    after: timedelta


Event = Attached | Leased | Lost | Acked | Beat | Goaway
