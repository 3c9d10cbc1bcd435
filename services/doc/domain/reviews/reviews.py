"""The use cases around reviews: proposed, judged, merged or closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from automesh.core.clock import Clock
from automesh.core.errors import AutomationError, ValidationError
from services.doc.domain.branches.branch import Difference, Work
from services.doc.domain.branches.branches import Branches
from services.doc.domain.branches.ports import BranchStore
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.documents.document import Revision
from services.doc.domain.errors import PathTaken, SpaceNotFound, StaleHead
from services.doc.domain.reviews.errors import ApprovalsMissing, ReviewChanged, review_ended, review_not_found
from services.doc.domain.reviews.merging import BranchMerger, MergeOrder, conflicts
from services.doc.domain.reviews.ports import Merging, OpenComments, ReviewStore
from services.doc.domain.reviews.review import (
    Judgement,
    NewReview,
    Review,
    ReviewQuery,
    ReviewState,
    Standing,
    Verdict,
    check_message,
)
from services.doc.domain.spaces.access import Person, required_approvals
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MemberRole

TRIES = 5
"""A merge is planned again so often when something moves meanwhile."""
SHOWN = 1000
"""Documents of a review that are shown."""


class Reviews:
    """Reviews as people have them."""

    def __init__(
        self,
        *,
        reviews: ReviewStore,
        branches: BranchStore,
        differences: Branches,
        merger: BranchMerger,
        directory: SpaceDirectory,
        comments: OpenComments,
        doorbell: Doorbell,
        clock: Clock,
        make_id: Callable[[str], str],
    ) -> None:
        self._reviews, self._branches, self._differences, self._merger = reviews, branches, differences, merger
        self._directory, self._comments, self._doorbell = directory, comments, doorbell
        self._clock, self._make_id = clock, make_id

    async def create(self, person: Person, new: NewReview) -> Standing:
        """Raises ReviewOpen, BranchNotFound; ValidationError for a reviewer who does not find the space."""
        await self._directory.find(person, new.space, MemberRole.WRITER)
        for user in new.reviewers:
            await self._check_reviewer(person, user, new.space)
        review = await self._reviews.add(person.tenant_id, self._make_id("review"), new, person.user)
        return await self._standing(person, review)

    async def changes(self, person: Person, review_id: str) -> tuple[Standing, Sequence[Difference]]:
        """With the documents that it changes, at most SHOWN, by path; none of one that has ended.

        Raises ReviewNotFound.
        """
        review = await self._found(person, review_id)
        standing = await self._standing(person, review)
        if review.state is not ReviewState.OPEN:
            return standing, []
        found = await self._differences.differences(
            review.tenant_id, review.space, review.branch, review.target, limit=SHOWN, after=""
        )
        return standing, sorted(found, key=lambda each: each.sides.path)

    async def list(self, person: Person, query: ReviewQuery) -> Sequence[Standing]:
        """A page, the latest change first."""
        found = await self._reviews.list(person.tenant_id, query)
        return await self._standings(person, found)

    async def judge(self, person: Person, review_id: str, verdict: Verdict, message: str) -> Standing:
        """On the branch as it is now. Raises ReviewEnded."""
        check_message(message)
        review = await self._found(person, review_id, MemberRole.WRITER)
        if review.state is not ReviewState.OPEN:
            raise review_ended(review_id, review.state)
        if verdict is Verdict.CHANGES_REQUESTED and not message.strip():
            raise ValidationError("say what must change", field="message")
        work = await self._work(review)
        judgement = Judgement(
            reviewer=person.user, verdict=verdict, message=message, digest=work.digest, judged_at=self._clock()
        )
        return await self._standing(person, await self._reviews.judge(person.tenant_id, review_id, judgement))

    async def close(self, person: Person, review_id: str, message: str) -> Standing:
        """Without merging. Raises ReviewEnded for one that was merged."""
        check_message(message)
        review = await self._found(person, review_id, MemberRole.WRITER)
        if review.state is ReviewState.MERGED:
            raise review_ended(review_id, review.state)
        closed = await self._reviews.close(person.tenant_id, review_id, await self._work(review), message)
        return await self._standing(person, closed)

    async def merge(
        self, person: Person, review_id: str, message: str, *, delete_branch: bool
    ) -> tuple[Standing, Sequence[Revision]]:
        """Raises ReviewEnded, ApprovalsMissing, MergeConflicts, ReviewTooLarge, BranchInUse; ReviewChanged at last."""
        check_message(message)
        why: AutomationError | None = None
        for _ in range(TRIES):
            try:
                review, revisions = await self._merge(person, review_id, message, delete_branch=delete_branch)
            except (StaleHead, ReviewChanged) as error:
                why = error
                continue
            self._doorbell.ring()
            return await self._standing(person, review), revisions
        raise ReviewChanged(
            "nothing was merged: others wrote to these documents all the while; try again", reviewId=review_id
        ) from why

    async def _merge(
        self, person: Person, review_id: str, message: str, *, delete_branch: bool
    ) -> tuple[Review, Sequence[Revision]]:
        review = await self._found(person, review_id, MemberRole.WRITER)
        if review.state is not ReviewState.OPEN:
            raise review_ended(review_id, review.state)
        standing = await self._standing(person, review)
        _check_approved(standing)
        order = MergeOrder(review=review, user=person.user, message=message)
        plan = await self._merger.plan(order)
        if await self._work(review) != standing.work:
            raise ReviewChanged(f"the branch {review.branch!r} has changed meanwhile", reviewId=review_id)
        if plan.clashes:
            raise conflicts(review, plan.clashes)
        merging = Merging(
            review=review, work=standing.work, user=person.user, writes=plan.writes, delete_branch=delete_branch
        )
        try:
            return await self._reviews.merge(merging)
        except PathTaken as error:
            raise await self._merger.taken(order, plan) from error

    async def _check_reviewer(self, person: Person, user: str, space: str) -> None:
        if user == person.user:
            raise ValidationError("you cannot review what you propose: ask somebody else", field="reviewers")
        try:
            await self._directory.find(Person(tenant_id=person.tenant_id, user=user), space)
        except SpaceNotFound as error:
            raise ValidationError(
                f"{user!r} does not find the space {space!r}: make them a member first", field="reviewers", user=user
            ) from error

    async def _found(self, person: Person, review_id: str, least: MemberRole = MemberRole.READER) -> Review:
        review = await self._reviews.get(person.tenant_id, review_id)
        try:
            await self._directory.find(person, review.space, least)
        except SpaceNotFound as error:
            raise review_not_found(review_id) from error
        return review

    async def _work(self, review: Review) -> Work:
        place = (review.space, review.branch)
        return (await self._branches.work(review.tenant_id, [place])).get(place, Work())

    async def _standing(self, person: Person, review: Review) -> Standing:
        return (await self._standings(person, [review]))[0]

    async def _standings(self, person: Person, reviews: Sequence[Review]) -> Sequence[Standing]:
        tenant_id = person.tenant_id
        places = sorted({(each.space, each.branch) for each in reviews if each.work is None})
        works = await self._branches.work(tenant_id, places) if places else {}
        open_comments = await self._comments.open(tenant_id, [each.review_id for each in reviews])
        spaces = {each: await self._directory.find(person, each) for each in {each.space for each in reviews}}
        return [
            Standing(
                review=each,
                work=each.work or works.get((each.space, each.branch), Work()),
                required=required_approvals(spaces[each.space], each.target),
                open_comments=open_comments.get(each.review_id, 0),
            )
            for each in reviews
        ]


def _check_approved(standing: Standing) -> None:
    review = standing.review
    if standing.against:
        raise ApprovalsMissing(
            f"{' and '.join(standing.against)} asked for changes: make them, or ask to judge again",
            reviewId=review.review_id,
        )
    if standing.approvals < standing.required:
        raise ApprovalsMissing(
            f"{standing.required} approvals of the branch as it is now are needed, {standing.approvals} hold: those of "
            f"people whose own work this is ({', '.join(sorted(standing.involved))}) do not count, nor do those from "
            "before its last change",
            reviewId=review.review_id,
            required=standing.required,
            approvals=standing.approvals,
        )
