"""Comments: said, answered, resolved, taken back; they follow their text, and only who may read hears of them."""

import pytest

from automesh.doc.v1 import comment_service_pb2 as pb
from automesh.doc.v1 import document_pb2, space_pb2
from automesh.doc.v1 import document_service_pb2 as doc_pb
from automesh.doc.v1 import review_service_pb2 as review_pb
from automesh.storage.postgres import ENGINE
from tests.integration.doc.doc_house import ADMIN, Served, invalid, refused
from tests.integration.doc.doc_house_reviews import begin, propose, reviews
from tests.integration.doc.doc_house_talk import comments, feed, on, said, say

pytestmark = pytest.mark.postgres
TEXT = "# Start\n\nFirst the pump is switched on.\n\nThen wait a minute.\n"


@pytest.fixture
async def page(handbook: Served) -> document_pb2.Document:
    return await handbook.write(content=TEXT)


async def test_a_comment_quotes_what_it_is_about(handbook: Served, page: document_pb2.Document) -> None:
    made = await say(handbook, "Which pump?", "bob", **on(page, "the pump"))
    assert made.comment_id.startswith("comment_")
    assert (made.anchor.quote, made.anchor.lost, made.author, made.branch) == ("the pump", False, "bob", "main")
    (found,) = await said(handbook, "ann", document_id=page.document_id)
    assert found == made


async def test_a_comment_follows_its_text_through_edits(handbook: Served, page: document_pb2.Document) -> None:
    await say(handbook, "Which pump?", **on(page, "the pump"))
    later = await handbook.edit(page, "# Start\n\nAn introduction.\n\nFirst of all the pump is switched on.\n")
    (found,) = await said(handbook, document_id=page.document_id)
    assert later.content[found.anchor.start : found.anchor.end] == "the pump"
    assert (found.anchor.lost, found.anchor.revision_id) == (False, later.head)
    # a paragraph that moves takes its comments with it
    moved = await handbook.edit(later, "First of all the pump is switched on.\n\n# Start\n\nAn introduction.\n")
    (found,) = await said(handbook, document_id=page.document_id)
    assert moved.content[found.anchor.start : found.anchor.end] == "the pump"


async def test_a_comment_whose_text_is_gone_says_so_and_finds_it_again(
    handbook: Served, page: document_pb2.Document
) -> None:
    await say(handbook, "Which pump?", **on(page, "the pump is switched on"))
    gone = await handbook.edit(page, "# Start\n\nThen wait a minute.\n")
    (found,) = await said(handbook, document_id=page.document_id)
    assert (found.anchor.lost, found.anchor.quote) == (True, "the pump is switched on")
    assert 0 <= found.anchor.start <= len(gone.content)
    back = await handbook.edit(gone, TEXT)
    (found,) = await said(handbook, document_id=page.document_id)
    assert not found.anchor.lost
    assert back.content[found.anchor.start : found.anchor.end] == "the pump is switched on"


async def test_threads_come_in_the_order_of_the_text_and_answers_in_that_of_time(
    handbook: Served, page: document_pb2.Document
) -> None:
    last = await say(handbook, "How long?", **on(page, "a minute"))
    first = await say(handbook, "Which pump?", **on(page, "the pump"))
    whole = await say(handbook, "Good page.", document_id=page.document_id)
    one = await say(handbook, "The red one.", "bob", thread_id=first.comment_id)
    two = await say(handbook, "Thanks.", thread_id=one.comment_id)  # an answer to an answer joins the thread
    order = [whole, first, one, two, last]
    assert [each.comment_id for each in await said(handbook, document_id=page.document_id)] == [
        each.comment_id for each in order
    ]
    stub = await comments(handbook)
    token = ""
    paged: list[str] = []
    while not paged or token:
        answer = await stub.ListComments(
            pb.ListCommentsRequest(document_id=page.document_id, page_size=2, page_token=token)
        )
        paged += [each.comment_id for each in answer.comments]
        token = answer.next_page_token
    assert paged == [each.comment_id for each in order]


async def test_a_resolved_thread_is_out_of_the_way_until_it_is_opened_again(
    handbook: Served, page: document_pb2.Document
) -> None:
    first = await say(handbook, "Which pump?", **on(page, "the pump"))
    answer = await say(handbook, "The red one.", "bob", thread_id=first.comment_id)
    stub = await comments(handbook, "bob")
    done = await stub.ResolveComment(pb.ResolveCommentRequest(comment_id=first.comment_id))
    assert done.comment.resolved_by == "bob"
    assert not await said(handbook, document_id=page.document_id)
    assert len(await said(handbook, document_id=page.document_id, include_resolved=True)) == 2
    again = await stub.ResolveComment(pb.ResolveCommentRequest(comment_id=first.comment_id, reopen=True))
    assert again.comment.resolved_by == ""
    assert len(await said(handbook, document_id=page.document_id)) == 2
    error = await invalid(stub.ResolveComment(pb.ResolveCommentRequest(comment_id=answer.comment_id)))
    assert first.comment_id in error.message


async def test_only_who_said_it_changes_it_and_owners_remove_any(handbook: Served, page: document_pb2.Document) -> None:
    first = await say(handbook, "Which pump?", document_id=page.document_id)
    answer = await say(handbook, "The red one.", "bob", thread_id=first.comment_id)
    ann, bob, root = await comments(handbook), await comments(handbook, "bob"), await comments(handbook, "root", *ADMIN)
    changed = await ann.UpdateComment(pb.UpdateCommentRequest(comment_id=first.comment_id, text="Which of the two?"))
    assert changed.comment.text == "Which of the two?"
    for call in (
        bob.UpdateComment(pb.UpdateCommentRequest(comment_id=first.comment_id, text="x")),
        bob.DeleteComment(pb.DeleteCommentRequest(comment_id=first.comment_id)),
    ):
        assert (await refused(call)).reason == "NOT_YOURS"
    await ann.DeleteComment(pb.DeleteCommentRequest(comment_id=first.comment_id))
    found = await said(handbook, document_id=page.document_id)
    assert [(each.text, each.author) for each in found] == [("", "ann"), ("The red one.", "bob")]
    error = await refused(ann.UpdateComment(pb.UpdateCommentRequest(comment_id=first.comment_id, text="x")))
    assert error.reason == "COMMENT_REMOVED"
    await root.DeleteComment(pb.DeleteCommentRequest(comment_id=answer.comment_id))
    assert not await said(handbook, document_id=page.document_id)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"text": ""}, "text"),
        ({"text": " \n"}, "text"),
        ({"text": "x" * 20_001}, "text"),
        ({"text": "a\0b"}, "text"),
        ({"text": " ".join(f"@user{n}" for n in range(21))}, "text"),
        ({"anchor": {"revision_id": "rev_unknown", "start": 0, "end": 1}}, "anchor.revision_id"),
        ({"anchor": {"start": 0, "end": 1}}, "anchor.revision_id"),
        ({"anchor": {"revision_id": "HEAD", "start": 5, "end": 5}}, "anchor"),
        ({"anchor": {"revision_id": "HEAD", "start": -1, "end": 5}}, "anchor"),
        ({"anchor": {"revision_id": "HEAD", "start": 0, "end": 5000}}, "anchor.end"),
        ({"anchor": {"revision_id": "HEAD", "start": 0, "end": 500_000}}, "anchor"),
        ({"document_id": ""}, "document_id"),
    ],
)
async def test_what_is_no_comment_is_refused_with_the_field(
    handbook: Served, page: document_pb2.Document, fields: dict[str, object], where: str
) -> None:
    request = {"document_id": page.document_id, "text": "fine", **fields}
    anchor = request.get("anchor")
    if isinstance(anchor, dict) and anchor.get("revision_id") == "HEAD":
        anchor["revision_id"] = page.head
    error = await invalid((await comments(handbook)).CreateComment(pb.CreateCommentRequest(**request)))  # type: ignore[arg-type]  # fields, built from a dict
    assert error.violations[0].field == where


async def test_comments_of_a_hidden_space_are_not_there_for_others(handbook: Served) -> None:
    await handbook.space(
        "secret",
        visibility=space_pb2.VISIBILITY_MEMBERS,
        members=[space_pb2.Member(user="ann", role=space_pb2.MEMBER_ROLE_READER)],
    )
    stub = await handbook.documents("root", *ADMIN)
    request = doc_pb.CreateDocumentRequest(space="secret", path="a.md", content="hidden\n")
    page = (await stub.CreateDocument(request)).document
    made = await say(handbook, "I may read, so I may speak. @bob", "ann", document_id=page.document_id)
    bob = await comments(handbook, "bob")
    for call, reason in (
        (bob.ListComments(pb.ListCommentsRequest(document_id=page.document_id)), "DOCUMENT_NOT_FOUND"),
        (bob.CreateComment(pb.CreateCommentRequest(document_id=page.document_id, text="x")), "DOCUMENT_NOT_FOUND"),
        (bob.CreateComment(pb.CreateCommentRequest(thread_id=made.comment_id, text="x")), "COMMENT_NOT_FOUND"),
        (bob.ResolveComment(pb.ResolveCommentRequest(comment_id=made.comment_id)), "COMMENT_NOT_FOUND"),
        (bob.DeleteComment(pb.DeleteCommentRequest(comment_id=made.comment_id)), "COMMENT_NOT_FOUND"),
    ):
        assert (await refused(call)).reason == reason
    assert not await feed(handbook, "bob")  # mentioned, but does not learn of the space


async def test_whoever_is_mentioned_hears_of_it_once(handbook: Served, page: document_pb2.Document) -> None:
    made = await say(handbook, "@bob and @Bob, see `@carl` and mail dan@example.org", **on(page, "the pump"))
    assert list(made.mentions) == ["bob"]
    (told,) = await feed(handbook, "bob")
    assert (told.kind, told.actor, told.comment_id, told.document_id) == (
        "mention", "ann", made.comment_id, page.document_id,
    )  # fmt: skip
    assert "Start" in told.text
    assert not await feed(handbook, "ann")
    assert not await feed(handbook, "carl")
    # whoever was mentioned follows from then on
    await say(handbook, "And then?", thread_id=made.comment_id)
    assert [each.kind for each in await feed(handbook, "bob")] == ["comment", "mention"]
    stub = await comments(handbook)
    await stub.UpdateComment(pb.UpdateCommentRequest(comment_id=made.comment_id, text="@bob, @dave"))
    assert [each.kind for each in await feed(handbook, "dave")] == ["mention"]
    assert len(await feed(handbook, "bob")) == 2


async def test_comments_of_a_review_count_as_open_until_they_are_resolved(
    handbook: Served, page: document_pb2.Document
) -> None:
    await begin(handbook)
    there = await handbook.read(page.document_id, branch="next")
    await handbook.edit(there, TEXT + "More.\n")
    review = await propose(handbook)
    whole = await say(handbook, "Why?", "bob", review_id=review.review_id)
    head = await handbook.read(page.document_id, branch="next")
    await say(handbook, "More what?", "bob", review_id=review.review_id, **on(head, "More"))
    await say(handbook, "Because.", thread_id=whole.comment_id)
    assert [each.text for each in await said(handbook, review_id=review.review_id)] == [
        "Why?",
        "Because.",
        "More what?",
    ]
    stub = await reviews(handbook)
    shown = await stub.GetReview(review_pb.GetReviewRequest(review_id=review.review_id))
    assert shown.review.open_comments == 2
    await (await comments(handbook)).ResolveComment(pb.ResolveCommentRequest(comment_id=whole.comment_id))
    shown = await stub.GetReview(review_pb.GetReviewRequest(review_id=review.review_id))
    assert shown.review.open_comments == 1
    assert {each.kind for each in await feed(handbook, "ann")} == {"comment"}
    error = await refused((await comments(handbook)).ListComments(pb.ListCommentsRequest(review_id="review_unknown")))
    assert error.reason == "REVIEW_NOT_FOUND"


async def test_what_was_said_is_sealed_in_the_database(handbook: Served, page: document_pb2.Document) -> None:
    await say(handbook, "the secret word is swordfish", **on(page, "the pump"))
    (row,) = await handbook.database.fetch("SELECT * FROM comment", tenant=ENGINE)
    assert b"swordfish" not in row["text"]
    assert b"pump" not in row["quote"]
