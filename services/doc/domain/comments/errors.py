"""What can go wrong with comments.

NotFound > CommentNotFound;  PermissionDenied > NotYours;  Exhausted > TooManyComments;  DocError > CommentRemoved
"""

from __future__ import annotations

from automesh.core.errors import Exhausted, NotFound, PermissionDenied
from services.doc.domain.errors import DocError


class CommentNotFound(NotFound):
    """No such comment, or one of a place that the caller may not see."""

    reason = "COMMENT_NOT_FOUND"


class NotYours(PermissionDenied):
    """Only who said it may change it."""

    reason = "NOT_YOURS"


class CommentRemoved(DocError):
    """Its text was removed."""

    reason = "COMMENT_REMOVED"


class TooManyComments(Exhausted):
    """The document or review has as many comments as it may have."""

    reason = "TOO_MANY_COMMENTS"


def comment_not_found(comment_id: str) -> CommentNotFound:
    """With what was asked for."""
    return CommentNotFound(f"there is no comment {comment_id[:80]!r}", commentId=comment_id)
