"""A ReviewStore in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.doc.domain.branches.branch import Work
from services.doc.domain.documents.document import Revision
from services.doc.domain.reviews.errors import ReviewChanged, review_ended, review_not_found, review_open
from services.doc.domain.reviews.ports import Merging
from services.doc.domain.reviews.review import (
    Judgement,
    NewReview,
    Review,
    ReviewQuery,
    ReviewState,
)
from services.doc.fakes.branches import FakeBranchStore
from services.doc.fakes.documents import FakeDocumentStore
from services.doc.fakes.library import FakeLibrary


class FakeReviewStore:
    """A services.doc.domain.reviews.ports.ReviewStore."""

    def __init__(self, library: FakeLibrary, documents: FakeDocumentStore, branches: FakeBranchStore) -> None:
        self._library, self._documents, self._branches = library, documents, branches

    async def add(self, tenant_id: str, review_id: str, review: NewReview, author: str) -> Review:
        """See the port."""
        for branch in (review.branch, review.target):
            self._library.branch(tenant_id, review.space, branch)
        if any(self._open(each, tenant_id, review) for each in self._library.rows.reviews.values()):
            raise review_open(review.branch)
        now = self._library.clock()
        made = Review(
            tenant_id=tenant_id,
            review_id=review_id,
            space=review.space,
            branch=review.branch,
            target=review.target,
            title=review.title,
            description=review.description,
            state=ReviewState.OPEN,
            author=author,
            reviewers=tuple(review.reviewers),
            edition=1,
            created_at=now,
            updated_at=now,
        )
        self._library.rows.reviews[review_id] = made
        return made

    async def get(self, tenant_id: str, review_id: str) -> Review:
        """See the port."""
        found = self._library.rows.reviews.get(review_id)
        if found is None or found.tenant_id != tenant_id:
            raise review_not_found(review_id)
        return found

    async def list(self, tenant_id: str, query: ReviewQuery) -> Sequence[Review]:
        """See the port."""
        found = [
            each
            for each in self._library.rows.reviews.values()
            if each.tenant_id == tenant_id
            and each.space in query.spaces
            and query.state in (None, each.state)
            and query.reviewer in ("", *each.reviewers)
            and (query.before is None or (each.updated_at, each.review_id) < query.before)
        ]
        return sorted(found, key=lambda each: (each.updated_at, each.review_id), reverse=True)[: query.limit]

    async def judge(self, tenant_id: str, review_id: str, judgement: Judgement) -> Review:
        """See the port."""
        review = await self.get(tenant_id, review_id)
        if review.state is not ReviewState.OPEN:
            raise review_ended(review_id, review.state)
        now = self._library.clock()
        others = [each for each in review.judgements if each.reviewer != judgement.reviewer]
        said = [*others, replace(judgement, judged_at=now)]
        return self._keep(replace(review, judgements=said, edition=review.edition + 1, updated_at=now))

    async def close(self, tenant_id: str, review_id: str, work: Work, message: str) -> Review:
        """See the port."""
        review = await self.get(tenant_id, review_id)
        if review.state is ReviewState.MERGED:
            raise review_ended(review_id, review.state)
        if review.state is ReviewState.CLOSED:
            return review
        return self._keep(self._ended(review, ReviewState.CLOSED, work))

    async def merge(self, merging: Merging) -> tuple[Review, Sequence[Revision]]:
        """See the port."""
        review = merging.review
        with self._library.transaction() as rows:
            found = rows.reviews.get(review.review_id)
            if found is None or (found.state, found.edition) != (ReviewState.OPEN, review.edition):
                raise ReviewChanged(f"the review {review.review_id} has changed meanwhile", reviewId=review.review_id)
            self._documents.write_in(merging.writes)
            merged = self._keep(self._ended(found, ReviewState.MERGED, merging.work))
            if merging.delete_branch:
                self._branches.delete_in(review.tenant_id, review.space, review.branch)
            made = [rows.revisions[write.revision_id] for write, _ in merging.writes]
        return merged, sorted(made, key=lambda each: each.path)

    def _ended(self, review: Review, state: ReviewState, work: Work) -> Review:
        now = self._library.clock()
        return replace(review, state=state, work=work, edition=review.edition + 1, updated_at=now)

    def _keep(self, review: Review) -> Review:
        self._library.rows.reviews[review.review_id] = review
        return review

    def _open(self, other: Review, tenant_id: str, review: NewReview) -> bool:
        same = (other.tenant_id, other.space, other.branch) == (tenant_id, review.space, review.branch)
        return same and other.state is ReviewState.OPEN
