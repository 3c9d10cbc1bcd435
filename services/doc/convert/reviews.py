"""Messages of ReviewService and the domain."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.doc.v1 import review_service_pb2 as pb
from automesh.mesh import times
from services.doc.convert import branches, cursors, documents
from services.doc.domain.branches.branch import Difference
from services.doc.domain.documents.document import Revision
from services.doc.domain.reviews.review import Judgement, NewReview, ReviewQuery, ReviewState, Standing, Verdict
from services.doc.domain.spaces.space import MAIN

_STATE = {
    ReviewState.OPEN: pb.REVIEW_STATE_OPEN,
    ReviewState.MERGED: pb.REVIEW_STATE_MERGED,
    ReviewState.CLOSED: pb.REVIEW_STATE_CLOSED,
}
_VERDICT = {
    Verdict.APPROVED: pb.VERDICT_APPROVED,
    Verdict.CHANGES_REQUESTED: pb.VERDICT_CHANGES_REQUESTED,
}


def new_review(request: pb.CreateReviewRequest) -> NewReview:
    """What somebody proposes. Raises ValidationError."""
    return NewReview(
        space=request.space,
        branch=request.branch,
        target=request.target or MAIN,
        title=request.title.strip(),
        description=request.description,
        reviewers=tuple(request.reviewers),
    )


def verdict(value: pb.Verdict.ValueType) -> Verdict:
    """Raises ValidationError."""
    found = next((known for known, number in _VERDICT.items() if number == value), None)
    if found is None:
        raise ValidationError("say VERDICT_APPROVED or VERDICT_CHANGES_REQUESTED", field="verdict")
    return found


def review(standing: Standing) -> pb.Review:
    """The message of a review."""
    found = standing.review
    return pb.Review(
        review_id=found.review_id,
        space=found.space,
        branch=found.branch,
        target=found.target,
        title=found.title,
        description=found.description,
        state=_STATE[found.state],
        author=found.author,
        reviewers=found.reviewers,
        judgements=[_judgement(each, standing) for each in found.judgements],
        required_approvals=standing.required,
        approvals=standing.approvals,
        open_comments=standing.open_comments,
        create_time=times.timestamp(found.created_at),
        update_time=times.timestamp(found.updated_at),
    )


def shown(standing: Standing, differences: Sequence[Difference]) -> pb.GetReviewResponse:
    """With what it changes."""
    return pb.GetReviewResponse(
        review=review(standing), differences=[branches.difference(each) for each in differences]
    )


def merged(standing: Standing, revisions: Sequence[Revision]) -> pb.MergeReviewResponse:
    """With what that made."""
    return pb.MergeReviewResponse(review=review(standing), revisions=[documents.revision(each) for each in revisions])


def query(request: pb.ListReviewsRequest, spaces: Sequence[str]) -> ReviewQuery:
    """What somebody wants listed. Raises ValidationError."""
    state = next((known for known, number in _STATE.items() if number == request.state), None)
    if state is None and request.state != pb.REVIEW_STATE_UNSPECIFIED:
        raise ValidationError(f"there is no state {request.state}", field="state")
    return ReviewQuery(
        spaces=spaces,
        state=state,
        reviewer=request.reviewer,
        limit=paging.page_size(request.page_size),
        before=cursors.before(request.page_token, filters=_filters(request)),
    )


def page(found: Sequence[Standing], request: pb.ListReviewsRequest) -> pb.ListReviewsResponse:
    """A page, the latest change first."""
    token = ""
    if len(found) == paging.page_size(request.page_size):
        last = found[-1].review
        token = cursors.before_token(last.updated_at, last.review_id, filters=_filters(request))
    return pb.ListReviewsResponse(reviews=[review(each) for each in found], next_page_token=token)


def _judgement(found: Judgement, standing: Standing) -> pb.Judgement:
    return pb.Judgement(
        reviewer=found.reviewer,
        verdict=_VERDICT[found.verdict],
        message=found.message,
        time=times.timestamp(found.judged_at),
        outdated=standing.outdated(found),
    )


def _filters(request: pb.ListReviewsRequest) -> object:
    return [request.space, request.state, request.reviewer]
