"""What reviews and sites tell of."""

from __future__ import annotations

from services.doc.domain.notifications.notice import Notice, NoticeKind
from services.doc.domain.publishing.site import Release
from services.doc.domain.reviews.review import Judgement, Review, Verdict

WORDS = {Verdict.APPROVED: "has approved", Verdict.CHANGES_REQUESTED: "asks for changes in"}


def review_requested(review: Review) -> Notice:
    """To those who are asked to judge."""
    return Notice(
        tenant_id=review.tenant_id,
        kind=NoticeKind.REVIEW_REQUESTED,
        space=review.space,
        actor=review.author,
        text=f"{review.author} asks you to review {review.title!r}",
        review_id=review.review_id,
        to=review.reviewers,
        data={"title": review.title, "branch": review.branch, "target": review.target},
    )


def review_judged(review: Review, judgement: Judgement) -> Notice:
    """To whoever proposed it."""
    return Notice(
        tenant_id=review.tenant_id,
        kind=NoticeKind.REVIEW_JUDGED,
        space=review.space,
        actor=judgement.reviewer,
        text=f"{judgement.reviewer} {WORDS[judgement.verdict]} {review.title!r}",
        review_id=review.review_id,
        to=[review.author],
        data={"title": review.title, "verdict": judgement.verdict.value.lower()},
    )


def review_merged(review: Review, user: str) -> Notice:
    """To whoever proposed it, and those who were asked."""
    return Notice(
        tenant_id=review.tenant_id,
        kind=NoticeKind.REVIEW_MERGED,
        space=review.space,
        actor=user,
        text=f"{user} has merged {review.title!r} into {review.target}",
        review_id=review.review_id,
        to=[review.author, *review.reviewers],
        data={"title": review.title, "branch": review.branch, "target": review.target},
    )


def published(release: Release, actor: str, *, rollback: bool) -> Notice:
    """To those who follow the space."""
    verb = "has rolled the site of {space} back" if rollback else "has published the site of {space}"
    return Notice(
        tenant_id=release.tenant_id,
        kind=NoticeKind.PUBLISHED,
        space=release.space,
        actor=actor,
        text=f"{actor} {verb.format(space=release.space)}",
        followers=True,
        data={"release_id": release.release_id, "rollback": rollback},
    )


def publish_failed(release: Release) -> Notice:
    """To whoever asked for it, too."""
    return Notice(
        tenant_id=release.tenant_id,
        kind=NoticeKind.PUBLISH_FAILED,
        space=release.space,
        actor="",
        text=f"the site of {release.space} could not be published: look at its releases for the reason",
        to=[release.created_by],
        followers=True,
        data={"release_id": release.release_id},
    )
