"""What reviews need from outside. Every method may raise Unavailable while what stands behind it is away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.doc.domain.branches.branch import Work
from services.doc.domain.documents.document import Revision, Write
from services.doc.domain.documents.text import Text
from services.doc.domain.reviews.review import Judgement, NewReview, Review, ReviewQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Merging:
    """A merge that is ready to be carried out, on the edition of the review on which it was decided."""

    review: Review
    work: Work
    user: str
    writes: Sequence[tuple[Write, Text]]
    delete_branch: bool = False


class ReviewStore(Protocol):
    """Reviews with what people think of them. Anything of another tenant is not there."""

    async def add(self, tenant_id: str, review_id: str, review: NewReview, author: str) -> Review:
        """Raises BranchNotFound for either branch, ReviewOpen."""
        ...

    async def get(self, tenant_id: str, review_id: str) -> Review:
        """Raises ReviewNotFound."""
        ...

    async def list(self, tenant_id: str, query: ReviewQuery) -> Sequence[Review]:
        """A page, the latest change first."""
        ...

    async def judge(self, tenant_id: str, review_id: str, judgement: Judgement) -> Review:
        """Takes the place of what the same person said before; its time is that of the store. Raises ReviewEnded."""
        ...

    async def close(self, tenant_id: str, review_id: str, work: Work, message: str) -> Review:
        """One that is closed already stays as it is. Raises ReviewEnded for one that was merged."""
        ...

    async def merge(self, merging: Merging) -> tuple[Review, Sequence[Revision]]:
        """All writes, attachments of the branch too, and the end of the review, or nothing.

        Raises ReviewChanged when the review is at another edition, BranchInUse when the branch cannot be deleted, and
        what DocumentStore.write_all raises.
        """
        ...


class OpenComments(Protocol):
    """What is said in reviews and not done with yet."""

    async def open(self, tenant_id: str, review_ids: Sequence[str]) -> Mapping[str, int]:
        """How many threads of each; reviews without any may be left out."""
        ...


class NoComments:
    """An OpenComments where nothing was ever said."""

    async def open(self, tenant_id: str, review_ids: Sequence[str]) -> Mapping[str, int]:
        return {}
