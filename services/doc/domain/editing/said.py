"""What the people in a room are told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Joined:
    """How things stand for who comes."""

    update: bytes
    head: str
    state_vector: bytes


@dataclass(frozen=True, slots=True)
class Theirs:
    """Somebody else has written something."""

    update: bytes


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One's own updates up to this number are durable."""

    number: int


@dataclass(frozen=True, slots=True)
class PresenceOf:
    """Where somebody is; `gone`: they have left."""

    user: str
    client: str
    state: bytes
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Saved:
    """A revision was cut."""

    revision_id: str
    time: datetime
    acknowledged: int = 0
    """One's own updates up to this number are in it."""


@dataclass(frozen=True, slots=True)
class NotSaved:
    """Updates are not durable, or no revision could be cut of them."""

    reason: str
    message: str
    retrying: bool = False
    acknowledged: int = 0


Said = Joined | Theirs | Acknowledged | PresenceOf | Saved | NotSaved
