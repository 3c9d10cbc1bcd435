"""What rooms need from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from services.doc.domain.editing.room import KeptUpdate, NewRoom, Room
from services.doc.domain.editing.said import PresenceOf


class Verdict(StrEnum):
    """What became of an update; anything but TAKEN has left the text as it was."""

    TAKEN = "TAKEN"
    MALFORMED = "MALFORMED"
    OUT_OF_ORDER = "OUT_OF_ORDER"
    TOO_LARGE = "TOO_LARGE"
    HISTORY_FULL = "HISTORY_FULL"
    TOO_COSTLY = "TOO_COSTLY"


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody lacks, and the state vector of the text."""

    update: bytes
    state_vector: bytes


class SharedTexts(Protocol):
    """Texts that several people change at once (Yjs), held in memory; each call is bounded in time.

    Every method but `begin` raises TextsLost for a room that is not loaded: load it again. And TextsOverrun, when the
    call was too much.
    """

    async def begin(self, content: str, founder: int) -> bytes:
        """The first update of a room."""
        ...

    async def load(self, room_id: str, updates: Sequence[bytes]) -> None:
        """Holds a text, made of all its updates."""
        ...

    async def take(self, room_id: str, updates: Sequence[bytes]) -> None:
        """Brings in updates that are durable already."""
        ...

    async def judge(self, room_id: str, updates: Sequence[bytes], *, max_bytes: int) -> Sequence[Verdict]:
        """Brings in those that are fine, one after the other."""
        ...

    async def standing(self, room_id: str, state_vector: bytes, founder: int) -> Standing:
        """For somebody who has what the vector says. Raises UpdateMalformed, RoomBeganAnew."""
        ...

    async def text(self, room_id: str) -> str:
        """As it reads now."""
        ...

    async def rewrite(self, room_id: str, content: str) -> bytes:
        """Makes the text read so, with as little change as may be; the update that did it, empty for none."""
        ...

    async def snapshot(self, room_id: str) -> bytes:
        """One update that stands for all."""
        ...

    async def drop(self, room_id: str) -> None:
        """Holds it no longer."""
        ...


class RoomStore(Protocol):
    """Rooms and their updates. Every method may raise Unavailable, and RoomGone for a room that is not there."""

    async def find(self, tenant_id: str, document_id: str, branch: str) -> Room | None:
        """The room of a document, if there is one."""
        ...

    async def open(self, new: NewRoom, first: bytes) -> Room:
        """The room with its first update, or the one that somebody else opened meanwhile."""
        ...

    async def after(self, tenant_id: str, room_id: str, sequence: int) -> tuple[Room, Sequence[KeptUpdate]]:
        """The room, and its updates after a sequence, in order."""
        ...

    async def append(
        self, tenant_id: str, room_id: str, updates: Sequence[bytes], *, authors: Sequence[str], head: str = ""
    ) -> Room:
        """Makes updates durable, with the last sequences of the room; all or none. Moves the head when one is given."""
        ...

    async def squash(self, tenant_id: str, room_id: str, sequence: int, snapshot: bytes) -> None:
        """One update in the place of all up to a sequence."""
        ...

    async def take_cut(self, tenant_id: str, room_id: str, replica: str, hold_for: timedelta) -> Room | None:
        """For whoever makes a revision of it now; None while another replica does.

        Its head is the last revision that was made of the room or brought into it, however that ended.
        """
        ...

    async def cut(self, tenant_id: str, room_id: str, replica: str, sequence: int, head: str) -> Room:
        """Everything up to the sequence is in the revision."""
        ...

    async def refuse(self, room: Room, replica: str, reason: str, message: str) -> Room:
        """No revision can be made of it as it stands."""
        ...

    async def release(self, tenant_id: str, room_id: str, replica: str) -> None:
        """It is not being cut any more."""
        ...

    async def touch(self, tenant_id: str, room_id: str) -> None:
        """Somebody is in it."""
        ...

    async def left_uncut(self, quiet_for: timedelta, limit: int) -> Sequence[Room]:
        """Rooms of all tenants that have been quiet and hold what is in no revision."""
        ...

    async def forget(self, unused_for: timedelta, worn_for: timedelta, limit: int) -> int:
        """Removes rooms whose text is in a revision: those unused for long, and those grown far beyond their text."""
        ...


@dataclass(frozen=True, slots=True)
class Hint:
    """What another replica says: that there are updates, somebody's presence, or that it has just come."""

    presence: PresenceOf | None = None
    hello: bool = False


class RoomWire(Protocol):
    """Hints between replicas that have the same room open. Best effort: the store is the truth."""

    async def say(self, room_id: str, hint: Hint) -> None:
        """To the others."""
        ...

    def hear(self, room_id: str) -> AbstractAsyncContextManager[AsyncGenerator[Hint, None]]:
        """What the others say; one without anything now and then, or when hints may have been missed."""
        ...
