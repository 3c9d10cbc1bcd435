"""A room as it is kept, and the bounds of all rooms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

KIB, MIB = 1024, 1024**2
MAX_UPDATE = MIB
"""Bytes of one update."""
MAX_PRESENCE = 4 * KIB
MAX_HISTORY = 12 * MIB
"""Bytes of all that a room remembers: what a newcomer may have to be sent in one message."""
MAX_AUTHORS = 100
"""Of one revision; the ones who wrote last."""
SQUASH_UPDATES, SQUASH_BYTES = 500, 256 * KIB
"""So many updates, or bytes of them, are brought together into one."""
REFUSED_AT_MOST = 1000
"""Characters of a refusal that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRoom:
    """A room about to be opened; `founder` is the client id in Yjs that writes the first text."""

    room_id: str
    tenant_id: str
    document_id: str
    branch: str
    founder: int
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Room(NewRoom):
    """A room as it is kept. Everything up to `cut_sequence` is in the revision `head`."""

    sequence: int
    cut_sequence: int
    authors: Sequence[str]
    """Who wrote since the last revision, the last one last."""
    refused_sequence: int = 0
    refused_reason: str = ""
    refused_message: str = ""
    updated_at: datetime

    @property
    def uncut(self) -> bool:
        """Something in it is in no revision yet."""
        return self.cut_sequence < self.sequence

    @property
    def refused(self) -> bool:
        """No revision could be cut of the text as it stands."""
        return self.uncut and self.refused_sequence == self.sequence

    @property
    def unsaved(self) -> bool:
        """Something in it waits for a revision that may well be cut."""
        return self.uncut and not self.refused


@dataclass(frozen=True, slots=True)
class KeptUpdate:
    """An update and its place in the order of the room."""

    sequence: int
    update: bytes


def request_prefix(room_id: str) -> str:
    """What the request ids of its revisions begin with."""
    return f"edit:{room_id}:"


def request_id(room: Room) -> str:
    """Of the write that makes a revision: the same for the same text on the same head."""
    return f"{request_prefix(room.room_id)}{room.sequence}:{room.head}"
