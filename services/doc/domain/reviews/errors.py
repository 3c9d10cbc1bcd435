"""What can go wrong with reviews.

DocError > ApprovalsMissing, ReviewEnded, ReviewTooLarge
Stale > MergeConflicts, ReviewChanged
NotFound > ReviewNotFound
AlreadyExists > ReviewOpen
"""

from __future__ import annotations

from collections.abc import Sequence

from automesh.core.errors import AlreadyExists, NotFound
from services.doc.domain.errors import DocError, Stale


class ReviewNotFound(NotFound):
    """No such review, or one of a space that the caller may not see."""

    reason = "REVIEW_NOT_FOUND"


class ReviewOpen(AlreadyExists):
    """Another review of the branch is open."""

    reason = "REVIEW_OPEN"


class ReviewEnded(DocError):
    """It was merged or closed."""

    reason = "REVIEW_ENDED"


class ApprovalsMissing(DocError):
    """The space asks for more approvals, or somebody asks for changes."""

    reason = "APPROVALS_MISSING"


class ReviewTooLarge(DocError):
    """It changes more than one merge takes."""

    reason = "REVIEW_TOO_LARGE"


class ReviewChanged(Stale):
    """Somebody judged it, or wrote to its branches, again and again meanwhile: nothing was merged."""

    reason = "REVIEW_CHANGED"


class MergeConflicts(Stale):
    """Both branches changed the same thing: people have to decide. Nothing was merged."""

    reason = "MERGE_CONFLICTS"


def files_differ(review_id: str, paths: Sequence[str]) -> MergeConflicts:
    """With what to do."""
    told = ", ".join(repr(path) for path in paths[:10])
    return MergeConflicts(
        f"nothing was merged: other files were attached on both branches as {told}: put the one that is to stay on "
        "both, then merge again",
        reviewId=review_id,
        attachments=",".join(paths[:100]),
    )


def review_not_found(review_id: str) -> ReviewNotFound:
    """With what to do."""
    return ReviewNotFound(f"there is no review {review_id!r}: list reviews to find one", reviewId=review_id)


def review_ended(review_id: str, state: str) -> ReviewEnded:
    """With what to do."""
    return ReviewEnded(
        f"the review {review_id} is {state.lower()}: propose the branch again for what comes next",
        reviewId=review_id,
        state=state,
    )


def review_open(branch: str) -> ReviewOpen:
    """With what to do."""
    return ReviewOpen(f"a review of the branch {branch!r} is open: go on with that, or close it first", branch=branch)
