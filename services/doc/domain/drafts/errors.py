"""What can go wrong with drafts."""

from __future__ import annotations

from automesh.core.errors import Exhausted, NotFound, ValidationError
from services.doc.domain.errors import Stale


class DraftNotFound(NotFound):
    """The person has no such draft: those of others are not there either."""

    reason = "DRAFT_NOT_FOUND"


class DraftChanged(Stale):
    """It was saved elsewhere meanwhile, in another window perhaps."""

    reason = "DRAFT_CHANGED"


class TooManyDrafts(Exhausted):
    """The person keeps as many drafts as one may."""

    reason = "TOO_MANY_DRAFTS"


class DraftTooLarge(ValidationError):
    """No document could be that large."""

    reason = "DRAFT_TOO_LARGE"


def draft_not_found(draft_id: str) -> DraftNotFound:
    """With what to do."""
    return DraftNotFound(f"you have no draft {draft_id!r}: list your drafts to find one", draftId=draft_id)


def draft_changed(draft_id: str, version: int) -> DraftChanged:
    """`version` is the one that is kept; 0: none is."""
    now = f"version {version} is kept" if version else "it is gone"
    return DraftChanged(
        f"the draft {draft_id!r} was changed elsewhere, {now}: read it, decide, and save with version={version}",
        draftId=draft_id,
        version=version,
    )
