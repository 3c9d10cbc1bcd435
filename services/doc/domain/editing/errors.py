"""What can go wrong in rooms.

DocError > RoomBeganAnew;  NotFound > RoomGone;  ValidationError > UpdateMalformed;  Exhausted > RoomsFull
Unavailable > TextsLost > TextsOverrun
"""

from __future__ import annotations

from automesh.core.errors import AutomationError, Exhausted, Kind, NotFound, Unavailable, ValidationError
from services.doc.domain.errors import DocError


class RoomBeganAnew(DocError):
    """The room that the client knows is gone: what it holds cannot be brought together with the new one by itself."""

    reason = "ROOM_BEGAN_ANEW"


class RoomGone(NotFound):
    """The room is not kept any more, or its document is gone."""

    reason = "ROOM_GONE"


class UpdateMalformed(ValidationError):
    """The bytes are no update of Yjs, version 1."""

    reason = "UPDATE_MALFORMED"


class RoomsFull(Exhausted):
    """As many rooms are open, or as many people are in one, as may be."""

    reason = "ROOMS_FULL"


class TextsLost(Unavailable):
    """The program that holds the texts has ended since: load them again."""

    reason = "TEXTS_LOST"


class TextsOverrun(TextsLost):
    """It ended over this very call, or was ended because it took too long with it."""

    reason = "TEXTS_OVERRUN"


def passes(error: AutomationError) -> bool:
    """Whether it says nothing about what was asked for: the store is away, was too slow, or somebody was faster."""
    return error.kind in {Kind.UNAVAILABLE, Kind.DEADLINE, Kind.ABORTED}


def began_anew() -> RoomBeganAnew:
    """With what to do."""
    return RoomBeganAnew(
        "the room has begun anew since you were in it: put your text aside, join without a state vector, and put your "
        "changes in again"
    )
