"""What an import does with one document, by three hashes: what is here, what the last import brought, what comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_LINES = 5
"""That are named of a conflict."""


class Action(StrEnum):
    """What is done."""

    CREATE = "create"
    UPDATE = "update"
    MERGE = "merge"
    RESTORE = "restore"
    RENAME = "rename"
    LEAVE = "leave"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A document as it stands on the branch: where, at which revision, with which content."""

    document_id: str
    revision_id: str
    path: str
    sha256: str
    updated_by: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """With what to tell; `bases` are contents that a merge may start from, the best first."""

    action: Action
    place: Place | None = None
    bases: Sequence[str] = ()
    note: str = ""


def decide(place: Place | None, trashed: Place | None, new: str, bases: Sequence[str], path: str) -> Decision:
    """`place` is live at the path, `trashed` was; `bases` are hashes of what came before, empty ones count for nothing.

    Nothing that people wrote here is overwritten: what is unchanged since the last import is replaced, what has changed
    on both sides is merged, and the rest is told of.
    """
    known = list(dict.fromkeys(each for each in bases if each))
    if place is None:
        return _absent(trashed, new, known)
    if place.sha256 == new:
        return Decision(Action.LEAVE if place.path == path else Action.RENAME, place)
    if place.sha256 in known:
        return Decision(Action.UPDATE, place)
    if known and new == known[0]:
        return Decision(Action.LEAVE, place)  # only here has it changed
    if known:
        return Decision(Action.MERGE, place, known)
    return Decision(
        Action.REFUSE,
        place,
        note=f"a document that was never imported is at {place.path!r}, last written by {place.updated_by}: rename or "
        "delete it, or import below another prefix",
    )


def _absent(trashed: Place | None, new: str, known: Sequence[str]) -> Decision:
    if trashed is None:
        return Decision(Action.CREATE)
    if not known:
        return Decision(Action.RESTORE, trashed)
    if new in known:
        return Decision(Action.LEAVE, trashed, note="was deleted here after it was imported, and stays in the trash")
    return Decision(
        Action.REFUSE,
        trashed,
        note=f"has changed in the archive, and was deleted here by {trashed.updated_by}: restore it from the trash, "
        "then import again, or take it out of the archive",
    )


def conflict_note(updated_by: str, lines: Sequence[int]) -> str:
    """Both sides changed the same lines of the archive's text."""
    where = ", ".join(str(line) for line in lines[:_LINES]) + (", ..." if len(lines) > _LINES else "")
    return (
        f"was changed here by {updated_by} since its last import, in the same lines ({where}): export it, bring both "
        "together, and import again"
    )
