"""Comments, both ways."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.doc.v1 import comment_service_pb2 as pb
from automesh.mesh import times
from services.doc.domain.comments.comment import Anchor, Comment, NewComment, Span
from services.doc.domain.spaces.space import MAIN


def new_comment(request: pb.CreateCommentRequest) -> NewComment:
    """Raises ValidationError."""
    anchor = request.anchor
    span = None
    if request.HasField("anchor"):
        if not anchor.revision_id:
            raise ValidationError(
                "say which revision was looked at: the head that you have read", field="anchor.revision_id"
            )
        span = Span(anchor.revision_id, anchor.start, anchor.end)
    return NewComment(
        text=request.text,
        document_id=request.document_id,
        review_id=request.review_id,
        thread_id=request.thread_id,
        span=span,
        branch=request.branch or MAIN,
    )


def comment(found: Comment) -> pb.Comment:
    """The message of a comment."""
    return pb.Comment(
        comment_id=found.comment_id,
        document_id=found.document_id,
        review_id=found.review_id,
        thread_id=found.thread_id,
        anchor=_anchor(found.anchor) if found.anchor is not None else None,
        branch=found.branch,
        text=found.text,
        author=found.author,
        mentions=found.mentions,
        resolved_by=found.resolved_by,
        create_time=times.timestamp(found.created_at),
        update_time=times.timestamp(found.updated_at),
    )


def page(found: Sequence[Comment], request: pb.ListCommentsRequest) -> pb.ListCommentsResponse:
    """A page of all of them."""
    filters = ["comments", request.document_id, request.review_id, request.branch, request.include_resolved]
    size, after = paging.page_size(request.page_size), paging.decode_token(request.page_token, filters=filters)
    ids = [each.comment_id for each in found]
    if after is not None and after not in ids:
        raise ValidationError(
            "the thread that the page before ended with was resolved meanwhile: leave page_token empty to start over",
            field="page_token",
        )
    start = ids.index(after) + 1 if after else 0
    end = start + size
    return pb.ListCommentsResponse(
        comments=[comment(each) for each in found[start:end]],
        next_page_token=paging.encode_token(ids[end - 1], filters=filters) if end < len(found) else "",
    )


def _anchor(anchor: Anchor) -> pb.Anchor:
    return pb.Anchor(
        revision_id=anchor.revision_id, start=anchor.start, end=anchor.end, quote=anchor.quote, lost=anchor.lost
    )
