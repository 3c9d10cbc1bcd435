"""Reviews: what is proposed, what people think of it, and whether it may be merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from automesh.core.errors import ValidationError
from services.doc.domain.branches.branch import Work, check_name
from services.doc.domain.documents.document import MAX_MESSAGE
from services.doc.domain.spaces.space import MAIN

MAX_TITLE, MAX_DESCRIPTION, MAX_REVIEWERS = 300, 20_000, 50


class ReviewState(StrEnum):
    """How a review stands. It ends once, and stays what it became."""

    OPEN = "OPEN"
    MERGED = "MERGED"
    CLOSED = "CLOSED"


class Verdict(StrEnum):
    """What somebody thinks of it."""

    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReview:
    """A branch that is to be merged; checked here, so that no invalid review exists."""

    space: str
    branch: str
    target: str = MAIN
    title: str
    description: str = ""
    reviewers: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_name(self.branch)
        check_name(self.target, field="target")
        if self.branch == self.target:
            raise ValidationError(f"{self.branch!r} cannot be merged into itself", field="target")
        if not self.title.strip() or len(self.title) > MAX_TITLE or not self.title.isprintable():
            raise ValidationError(f"say what it is about: 1 to {MAX_TITLE} printable characters", field="title")
        if len(self.description) > MAX_DESCRIPTION or "\x00" in self.description:
            raise ValidationError(
                f"a description has at most {MAX_DESCRIPTION} characters, none of them NUL", field="description"
            )
        if len(self.reviewers) > MAX_REVIEWERS or len(set(self.reviewers)) != len(self.reviewers):
            raise ValidationError(f"ask at most {MAX_REVIEWERS} people, each once", field="reviewers")
        if any(not user.strip() or not user.isprintable() or len(user) > MAX_TITLE for user in self.reviewers):
            raise ValidationError("a reviewer is the name of a user", field="reviewers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict of one person on the branch as it was then: `digest` is that of Work."""

    reviewer: str
    verdict: Verdict
    message: str = ""
    digest: str
    judged_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A review as it is kept; `edition` counts its changes."""

    tenant_id: str
    review_id: str
    space: str
    branch: str
    target: str
    title: str
    description: str
    state: ReviewState
    author: str
    reviewers: Sequence[str]
    judgements: Sequence[Judgement] = ()
    edition: int
    created_at: datetime
    updated_at: datetime
    work: Work | None = None
    """What the branch had done when the review ended; None while it is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A review together with what the branch is now."""

    review: Review
    work: Work
    required: int
    open_comments: int = 0

    @property
    def counting(self) -> Sequence[Judgement]:
        """The verdicts on the branch as it is now."""
        return [each for each in self.review.judgements if not self.outdated(each)]

    @property
    def approvals(self) -> int:
        """Those of its author, and of people whose own work is on the branch, do not count."""
        approving = [each.reviewer for each in self.counting if each.verdict is Verdict.APPROVED]
        return len([each for each in approving if each not in self.involved])

    @property
    def involved(self) -> frozenset[str]:
        """Those who would judge their own work."""
        return frozenset({self.review.author, *self.work.authors})

    @property
    def against(self) -> Sequence[str]:
        """Those who ask for changes."""
        return [each.reviewer for each in self.counting if each.verdict is Verdict.CHANGES_REQUESTED]

    def outdated(self, judgement: Judgement) -> bool:
        """The branch has changed since."""
        return judgement.digest != self.work.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewQuery:
    """A page of reviews, the latest change first; empty filters let everything pass."""

    spaces: Sequence[str]
    """Those that are looked at: the caller finds all of them."""
    state: ReviewState | None = None
    reviewer: str = ""
    limit: int
    before: tuple[datetime, str] | None = None


def check_message(message: str) -> str:
    """The message. Raises ValidationError."""
    if len(message) > MAX_MESSAGE or "\x00" in message:
        raise ValidationError(f"a message has at most {MAX_MESSAGE} characters, none of them NUL", field="message")
    return message
