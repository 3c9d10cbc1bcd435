"""Reviews through the whole service: who may propose, judge, merge and close, and what that does."""

import asyncio
from typing import Any

import grpc
import pytest

from automesh.doc.v1 import branch_service_pb2 as branch_pb
from automesh.doc.v1 import document_pb2, space_pb2
from automesh.doc.v1 import document_service_pb2 as doc_pb
from automesh.doc.v1 import review_service_pb2 as pb
from automesh.doc.v1 import space_service_pb2 as space_pb
from tests.integration.doc import doc_house_reviews as house
from tests.integration.doc.doc_house import ADMIN, Served, invalid, refused

pytestmark = pytest.mark.postgres

TEXT = "# Start\n\none\n\ntwo\n\nthree\n"


async def proposed(served: Served, approvals: int = 1) -> tuple[document_pb2.Document, pb.Review]:
    """A document that "next" has changed, and the review of that by ann."""
    made = await served.write(content=TEXT)
    await house.require_approvals(served, approvals)
    await house.begin(served)
    await house.on(served, made, TEXT.replace("two", "TWO"))
    return made, await house.propose(served, reviewers=["bob"])


# ---------------------------------------------------------------------- proposing
async def test_a_review_says_what_its_branch_changes(handbook: Served) -> None:
    made = await handbook.write(content=TEXT)
    kept = await handbook.write("kept.md")
    await house.begin(handbook)
    changed = await house.on(handbook, made, TEXT + "four\n")
    new = await handbook.write("new.md", branch="next")
    await house.delete(handbook, kept, "next")
    review = await house.propose(handbook, description="because", reviewers=["bob", "eve"])
    assert review.review_id.startswith("review_")
    assert (review.author, review.target, review.state) == ("ann", "main", pb.REVIEW_STATE_OPEN)
    shown = await house.shown(handbook, review, "bob")
    assert (shown.review.description, list(shown.review.reviewers)) == ("because", ["bob", "eve"])
    assert [(each.path, each.head, each.base_head) for each in shown.differences] == [
        ("kept.md", shown.differences[0].head, kept.head),
        ("new.md", new.head, ""),
        ("start.md", changed.head, made.head),
    ]


async def test_a_branch_has_one_open_review_at_a_time(handbook: Served) -> None:
    await house.begin(handbook)
    review = await house.propose(handbook)
    error = await refused(house.propose(handbook, user="bob"))
    assert (error.reason, error.kind) == ("REVIEW_OPEN", "conflict")
    closing = pb.CloseReviewRequest(review_id=review.review_id, message="later")
    closed = (await (await house.reviews(handbook)).CloseReview(closing)).review
    assert closed.state == pb.REVIEW_STATE_CLOSED
    assert (await house.propose(handbook, user="bob")).review_id != review.review_id
    again = (await (await house.reviews(handbook)).CloseReview(closing)).review
    assert again == closed


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"title": "  "}, "title"),
        ({"title": "a\nb"}, "title"),
        ({"title": "x" * 301}, "title"),
        ({"description": "a\x00b"}, "description"),
        ({"target": "next"}, "target"),
        ({"branch": "../up"}, "branch"),
        ({"reviewers": ["bob", "bob"]}, "reviewers"),
        ({"reviewers": ["ann"]}, "reviewers"),
        ({"reviewers": [""]}, "reviewers"),
    ],
)
async def test_a_review_that_makes_no_sense_is_refused(handbook: Served, fields: dict[str, Any], field: str) -> None:
    await house.begin(handbook)
    error = await invalid(house.propose(handbook, **fields))
    assert [each.field for each in error.violations] == [field]


async def test_a_branch_that_is_not_there_cannot_be_proposed(handbook: Served) -> None:
    assert (await refused(house.propose(handbook, "nowhere"))).reason == "BRANCH_NOT_FOUND"
    await house.begin(handbook)
    error = await refused(house.propose(handbook, target="nowhere"))
    assert (error.reason, error.metadata["branch"]) == ("BRANCH_NOT_FOUND", "nowhere")


async def test_who_does_not_find_the_space_neither_reviews_nor_sees_its_reviews(doc: Served) -> None:
    members = [space_pb2.Member(user=user, role=space_pb2.MEMBER_ROLE_WRITER) for user in ("ann", "bob")]
    await doc.space("secret", visibility=space_pb2.VISIBILITY_MEMBERS, members=members)
    await house.begin(doc, space="secret")
    error = await invalid(house.propose(doc, space="secret", reviewers=["eve"]))
    assert error.violations[0].field == "reviewers"
    review = await house.propose(doc, space="secret", reviewers=["bob"])
    for call in (house.shown(doc, review, "eve"), house.judge(doc, review, "eve"), house.merge(doc, review, "eve")):
        assert (await refused(call)).reason == "REVIEW_NOT_FOUND"
    eve = await house.reviews(doc, "eve")
    assert not (await eve.ListReviews(pb.ListReviewsRequest())).reviews
    assert (await refused(eve.ListReviews(pb.ListReviewsRequest(space="secret")))).reason == "SPACE_NOT_FOUND"


async def test_another_tenant_sees_no_review(handbook: Served) -> None:
    await house.begin(handbook)
    review = await house.propose(handbook)
    foreign = await house.reviews(handbook, "ann", *ADMIN, tenant_id="globex")
    error = await refused(foreign.GetReview(pb.GetReviewRequest(review_id=review.review_id)))
    assert error.reason == "REVIEW_NOT_FOUND"
    assert not (await foreign.ListReviews(pb.ListReviewsRequest())).reviews


async def test_reviews_are_listed_by_state_reviewer_and_page_the_latest_change_first(handbook: Served) -> None:
    made = []
    for number in range(3):
        await house.begin(handbook, f"b{number}")
        made.append(await house.propose(handbook, f"b{number}", reviewers=["bob"] if number else ["eve"]))
    await house.judge(handbook, made[0], "bob")
    stub = await house.reviews(handbook)
    await stub.CloseReview(pb.CloseReviewRequest(review_id=made[1].review_id))

    async def listed(**fields: Any) -> list[str]:
        page = await stub.ListReviews(pb.ListReviewsRequest(**fields))
        return [each.branch for each in page.reviews]

    assert await listed() == ["b1", "b0", "b2"]
    assert await listed(state=pb.REVIEW_STATE_OPEN) == ["b0", "b2"]
    assert await listed(reviewer="eve") == ["b0"]
    first = await stub.ListReviews(pb.ListReviewsRequest(page_size=2))
    rest = await stub.ListReviews(pb.ListReviewsRequest(page_size=2, page_token=first.next_page_token))
    assert [each.branch for each in (*first.reviews, *rest.reviews)] == ["b1", "b0", "b2"]
    assert not rest.next_page_token


# ---------------------------------------------------------------------- judging
async def test_a_main_branch_that_asks_for_approvals_changes_by_merging_only(handbook: Served) -> None:
    made, review = await proposed(handbook)
    assert (await refused(handbook.edit(made, "mine"))).reason == "BRANCH_PROTECTED"
    error = await refused(house.merge(handbook, review))
    assert (error.reason, error.metadata["approvals"]) == ("APPROVALS_MISSING", "0")
    judged = await house.judge(handbook, review)
    assert (judged.approvals, judged.required_approvals) == (1, 1)
    merged = await house.merge(handbook, judged)
    assert merged.review.state == pb.REVIEW_STATE_MERGED
    assert (await handbook.read(made.document_id)).content == TEXT.replace("two", "TWO")


async def test_nobody_approves_work_of_their_own(handbook: Served) -> None:
    made, review = await proposed(handbook)
    await house.on(handbook, made, TEXT + "by eve\n", user="eve")
    for user in ("ann", "eve"):
        assert (await house.judge(handbook, review, user)).approvals == 0
    error = await refused(house.merge(handbook, review))
    assert error.reason == "APPROVALS_MISSING"
    assert "ann, eve" in error.message
    assert (await house.judge(handbook, review, "bob")).approvals == 1


async def test_a_change_of_the_branch_takes_approvals_back(handbook: Served) -> None:
    made, review = await proposed(handbook)
    await house.judge(handbook, review)
    await house.on(handbook, made, TEXT.replace("two", "2"))
    shown = (await house.shown(handbook, review)).review
    assert (shown.approvals, [each.outdated for each in shown.judgements]) == (0, [True])
    assert (await refused(house.merge(handbook, review))).reason == "APPROVALS_MISSING"
    again = await house.judge(handbook, review)
    assert (again.approvals, [each.outdated for each in again.judgements]) == (1, [False])
    await house.merge(handbook, review)


async def test_a_change_of_the_main_branch_takes_no_approval_back(handbook: Served) -> None:
    made, review = await proposed(handbook)
    await house.judge(handbook, review)
    await house.require_approvals(handbook, 0)
    await house.on(handbook, made, TEXT.replace("one", "ONE"), "main")
    await house.require_approvals(handbook, 1)
    assert (await house.shown(handbook, review)).review.approvals == 1
    await house.merge(handbook, review)
    assert (await handbook.read(made.document_id)).content == TEXT.replace("one", "ONE").replace("two", "TWO")


async def test_who_asks_for_changes_holds_a_merge_up_until_the_branch_changes_or_they_say_otherwise(
    handbook: Served,
) -> None:
    _, review = await proposed(handbook)
    await house.judge(handbook, review, "bob")
    await house.judge(handbook, review, "eve", house.CHANGES, "two is no number here")
    error = await refused(house.merge(handbook, review))
    assert error.reason == "APPROVALS_MISSING"
    assert "eve asked for changes" in error.message
    judged = await house.judge(handbook, review, "eve", house.APPROVED)
    assert [(each.reviewer, each.verdict) for each in judged.judgements] == [
        ("bob", house.APPROVED),
        ("eve", house.APPROVED),
    ]
    await house.merge(handbook, review)


async def test_asking_for_changes_needs_a_word(handbook: Served) -> None:
    _, review = await proposed(handbook)
    assert (await invalid(house.judge(handbook, review, "bob", house.CHANGES, " "))).violations[0].field == "message"
    assert (await invalid(house.judge(handbook, review, "bob", pb.VERDICT_UNSPECIFIED))).violations[
        0
    ].field == "verdict"


async def test_judging_needs_its_own_permission(handbook: Served) -> None:
    _, review = await proposed(handbook)
    stub = await house.reviews(handbook, "bob", "doc.read", "doc.write")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.JudgeReview(pb.JudgeReviewRequest(review_id=review.review_id, verdict=house.APPROVED))
    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_what_has_ended_is_neither_judged_nor_merged_nor_closed(handbook: Served) -> None:
    _, review = await proposed(handbook)
    await house.judge(handbook, review)
    await house.merge(handbook, review)
    stub = await house.reviews(handbook)
    calls = (
        house.judge(handbook, review),
        house.merge(handbook, review),
        stub.CloseReview(pb.CloseReviewRequest(review_id=review.review_id)),
    )
    for call in calls:
        assert (await refused(call)).reason == "REVIEW_ENDED"
    shown = await house.shown(handbook, review)
    assert (shown.review.approvals, [each.outdated for each in shown.review.judgements]) == (1, [False])
    assert not shown.differences


# ---------------------------------------------------------------------- branches of reviews
async def test_a_branch_stays_while_a_review_needs_it(handbook: Served) -> None:
    await house.begin(handbook)
    await house.begin(handbook, "release")
    review = await house.propose(handbook, target="release")
    branches = await handbook.branches()
    for branch in ("next", "release"):
        gone = branch_pb.DeleteBranchRequest(space="handbook", branch=branch)
        assert (await refused(branches.DeleteBranch(gone))).reason == "BRANCH_IN_USE"
    await (await house.reviews(handbook)).CloseReview(pb.CloseReviewRequest(review_id=review.review_id))
    for branch in ("next", "release"):
        await branches.DeleteBranch(branch_pb.DeleteBranchRequest(space="handbook", branch=branch))
    assert (await house.shown(handbook, review)).review.state == pb.REVIEW_STATE_CLOSED


async def test_a_merge_may_take_the_branch_with_it(handbook: Served) -> None:
    made, review = await proposed(handbook, 0)
    await house.merge(handbook, review, delete_branch=True)
    branches = await handbook.branches()
    listed = await branches.ListBranches(branch_pb.ListBranchesRequest(space="handbook"))
    assert [each.branch for each in listed.branches] == ["main"]
    assert (await handbook.read(made.document_id)).content == TEXT.replace("two", "TWO")
    assert (await house.shown(handbook, review)).review.state == pb.REVIEW_STATE_MERGED


async def test_a_merge_that_cannot_take_the_branch_with_it_does_nothing(handbook: Served) -> None:
    made, review = await proposed(handbook, 0)
    await house.begin(handbook, "further", base="next")
    await house.propose(handbook, "further", target="next")
    assert (await refused(house.merge(handbook, review, delete_branch=True))).reason == "BRANCH_IN_USE"
    assert (await handbook.read(made.document_id)).content == TEXT
    assert (await house.shown(handbook, review)).review.state == pb.REVIEW_STATE_OPEN


async def test_a_space_goes_with_its_open_reviews(handbook: Served) -> None:
    _, review = await proposed(handbook)
    await house.judge(handbook, review)
    spaces = await handbook.spaces()
    await spaces.DeleteSpace(space_pb.DeleteSpaceRequest(space="handbook", force=True, reason="over"))
    assert (await refused(house.shown(handbook, review))).reason == "REVIEW_NOT_FOUND"


async def test_of_two_who_merge_at_once_one_does(handbook: Served) -> None:
    made, review = await proposed(handbook, 0)
    answers = await asyncio.gather(
        *(house.merge(handbook, review, user) for user in ("ann", "bob")), return_exceptions=True
    )
    failed = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert len(failed) == 1
    assert "is merged" in (failed[0].details() or "")
    documents = await handbook.documents()
    revisions = await documents.ListRevisions(doc_pb.ListRevisionsRequest(document_id=made.document_id))
    assert len(revisions.revisions) == 3  # the first, the branch's, and one merge


async def test_what_is_said_in_a_review_is_sealed_in_the_database(handbook: Served) -> None:
    await house.begin(handbook)
    review = await house.propose(handbook, description="a secret reason")
    await house.judge(handbook, review, message="a secret verdict")
    database = handbook.database
    kept = await database.fetchval("SELECT description FROM review", tenant="default")
    said = await database.fetchval("SELECT message FROM judgement", tenant="default")
    assert b"secret" not in kept + said
    shown = (await house.shown(handbook, review)).review
    assert (shown.description, shown.judgements[0].message) == ("a secret reason", "a secret verdict")
