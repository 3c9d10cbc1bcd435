"""Merging a branch through a review: what comes over, what people must decide, and what a failed merge leaves."""

import asyncio

import pytest

from automesh.doc.v1 import branch_service_pb2 as branch_pb
from automesh.doc.v1 import document_pb2
from automesh.doc.v1 import document_service_pb2 as doc_pb
from tests.integration.doc import doc_house_reviews as house
from tests.integration.doc.doc_house import Served, refused
from tests.integration.doc.test_doc_attachments import download, upload

pytestmark = pytest.mark.postgres

TEXT = "# Start\n\none\n\ntwo\n\nthree\n"


async def look_up(served: Served, path: str, branch: str = "main") -> document_pb2.Document:
    request = doc_pb.LookUpDocumentRequest(space="handbook", path=path, branch=branch)
    return (await (await served.documents()).LookUpDocument(request)).document


async def differing(served: Served, branch: str = "next") -> list[str]:
    request = branch_pb.CompareBranchesRequest(space="handbook", branch=branch)
    return [each.path for each in (await (await served.branches()).CompareBranches(request)).differences]


async def conflicted(served: Served) -> str:
    """The message of a merge that needs people; the review stays open."""
    review = await house.propose(served)
    error = await refused(house.merge(served, review))
    assert (error.reason, error.kind) == ("MERGE_CONFLICTS", "aborted")
    assert (await house.shown(served, review)).review.state == 1
    return error.message


async def test_new_changed_renamed_and_deleted_documents_come_over_together(handbook: Served) -> None:
    changed = await handbook.write("changed.md", TEXT)
    moved = await handbook.write("moved.md")
    gone = await handbook.write("gone.md")
    untouched = await handbook.write("untouched.md")
    await house.begin(handbook)
    await house.on(handbook, changed, TEXT + "four\n", user="bob")
    new = await handbook.write("new.md", "# New\n", branch="next", user="eve")
    await house.rename(handbook, moved, "there.md", "next")
    await house.delete(handbook, gone, "next")
    review = await house.propose(handbook)
    merged = await house.merge(handbook, review, message="all of it")

    assert [each.path for each in merged.revisions] == ["changed.md", "gone.md", "new.md", "there.md"]
    assert {each.message for each in merged.revisions} == {"all of it"}
    assert {each.branch for each in merged.revisions} == {"main"}
    now = await handbook.read(changed.document_id)
    assert now.content == TEXT + "four\n"
    came = await handbook.read(new.document_id)
    assert (came.document_id, came.content, came.created_by, came.owner) == (new.document_id, "# New\n", "eve", "eve")
    assert (await look_up(handbook, "moved.md")).path == "there.md"
    assert (await handbook.read(gone.document_id)).HasField("delete_time")
    assert (await handbook.read(untouched.document_id)).head == untouched.head
    assert not await differing(handbook)


async def test_a_merge_names_who_did_the_work_and_where_it_came_from(handbook: Served) -> None:
    made = await handbook.write(content=TEXT)
    await house.begin(handbook)
    await house.on(handbook, made, TEXT + "bob\n", user="bob")
    there = await house.on(handbook, made, TEXT + "bob\neve\n", user="eve")
    review = await house.propose(handbook, user="bob", title="Two more")
    [revision] = (await house.merge(handbook, review, "ann")).revisions
    assert (revision.author, list(revision.co_authors)) == ("ann", ["bob", "eve"])
    assert list(revision.parents) == [made.head, there.head]
    assert (revision.change, revision.message) == (document_pb2.CHANGE_MERGE, "Two more")
    assert (revision.lines_added, revision.lines_removed) == (2, 0)
    documents = await handbook.documents()
    blame = await documents.BlameDocument(doc_pb.BlameDocumentRequest(document_id=made.document_id))
    assert [each.author for each in blame.revisions] == ["eve", "bob", "ann"]


async def test_both_sides_are_in_the_text_when_they_touch_other_lines(handbook: Served) -> None:
    made = await handbook.write(content=TEXT)
    await house.begin(handbook)
    await house.on(handbook, made, TEXT.replace("three", "THREE"))
    await house.on(handbook, made, TEXT.replace("one", "ONE"), "main")
    await house.merge(handbook, await house.propose(handbook))
    assert (await handbook.read(made.document_id)).content == "# Start\n\nONE\n\ntwo\n\nTHREE\n"


async def test_a_branch_goes_on_after_its_merge(handbook: Served) -> None:
    made = await handbook.write(content=TEXT)
    await house.begin(handbook)
    await house.on(handbook, made, TEXT.replace("one", "1"))
    await house.merge(handbook, await house.propose(handbook))
    await house.on(handbook, made, TEXT.replace("one", "1").replace("two", "2"))
    await house.on(handbook, made, TEXT.replace("one", "1").replace("three", "3"), "main")
    await house.merge(handbook, await house.propose(handbook))
    assert (await handbook.read(made.document_id)).content == "# Start\n\n1\n\n2\n\n3\n"
    assert not await differing(handbook)


# ---------------------------------------------------------------------- people must decide
async def test_lines_that_both_changed_are_merged_on_the_branch_first(handbook: Served) -> None:
    made = await handbook.write(content=TEXT)
    await house.begin(handbook)
    there = await house.on(handbook, made, TEXT.replace("two", "deux"))
    here = await house.on(handbook, made, TEXT.replace("two", "zwei"), "main")
    review = await house.propose(handbook)
    error = await refused(house.merge(handbook, review))
    assert (error.reason, error.metadata["documents"]) == ("MERGE_CONFLICTS", made.document_id)
    assert "'start.md' was changed on both in the same lines (lines 5 of the merge)" in error.message
    assert (await handbook.read(made.document_id)).head == here.head

    # As the message says: both brought together, decided, and saved on the branch with main's head as a parent.
    documents = await handbook.documents()
    request = doc_pb.MergeDocumentRequest(document_id=made.document_id, ours=there.head, theirs=here.head)
    brought = (await documents.MergeDocument(request)).merge
    assert [(each.ours, each.theirs) for each in brought.conflicts] == [("deux\n", "zwei\n")]
    await house.on(handbook, made, TEXT.replace("two", "deux, zwei"), merged_revision=here.head)
    await house.merge(handbook, review)
    assert (await handbook.read(made.document_id)).content == TEXT.replace("two", "deux, zwei")


async def test_a_document_deleted_on_one_side_and_changed_on_the_other_is_decided_by_people(handbook: Served) -> None:
    edited = await handbook.write("edited.md", TEXT)
    deleted = await handbook.write("deleted.md", TEXT)
    await house.begin(handbook)
    await house.on(handbook, edited, TEXT + "more\n")
    gone = await house.delete(handbook, deleted, "next")
    await house.delete(handbook, edited)
    await house.on(handbook, deleted, TEXT + "more\n", "main")
    review = await house.propose(handbook)
    error = await refused(house.merge(handbook, review))
    assert "'edited.md' was changed on 'next' and deleted on 'main'" in error.message
    assert "'deleted.md' was deleted on 'next' and changed on 'main'" in error.message

    documents = await handbook.documents()
    await house.delete(handbook, edited, "next")  # one is given up, the other is kept
    await documents.RestoreDocument(
        doc_pb.RestoreDocumentRequest(document_id=deleted.document_id, branch="next", expected_head=gone.head)
    )
    await house.merge(handbook, review)
    assert (await handbook.read(deleted.document_id)).content == TEXT + "more\n"
    assert (await handbook.read(edited.document_id)).HasField("delete_time")
    assert not await differing(handbook)


async def test_a_document_renamed_apart_is_decided_by_people(handbook: Served) -> None:
    made = await handbook.write("a.md", TEXT)
    await house.begin(handbook)
    await house.rename(handbook, made, "b.md", "next")
    here = await house.rename(handbook, made, "c.md")
    review = await house.propose(handbook)
    error = await refused(house.merge(handbook, review))
    assert "was renamed to 'b.md' on 'next' and to 'c.md' on 'main'" in error.message
    await house.rename(handbook, made, "c.md", "next", merged_revision=here.head)
    await house.merge(handbook, review)
    assert (await handbook.read(made.document_id)).path == "c.md"


async def test_documents_that_began_apart_at_one_path_are_not_merged_into_each_other(handbook: Served) -> None:
    await house.begin(handbook)
    there = await handbook.write("same.md", "# There\n", branch="next")
    other = await handbook.write("OTHER.md", "# There\n", branch="next")
    here = await handbook.write("Same.md", "# Here\n")
    await handbook.write("other.md", "# Here\n")
    message = await conflicted(handbook)
    assert f"'same.md' is the path of another document on 'main' ({here.document_id}, 'Same.md')" in message
    assert "'OTHER.md' is the path of another document" in message
    assert (await handbook.read(here.document_id)).content == "# Here\n"
    for document in (there, other):
        assert (await refused(handbook.read(document.document_id))).reason == "DOCUMENT_NOT_FOUND"


async def test_front_matter_that_a_merge_would_break_is_said(handbook: Served) -> None:
    base = "---\na: 1\nk: 1\nb: 2\nl: 1\nc: 3\n---\n# Start\n"
    made = await handbook.write(content=base)
    await house.begin(handbook)
    await house.on(handbook, made, base.replace("a: 1", 'a: "one').replace("c: 3", 'three"'))  # one value, five lines
    await house.on(handbook, made, base.replace("b: 2", 'b: "two"'), "main")
    message = await conflicted(handbook)
    assert "'start.md' is no document any more once both are brought together (front matter, line 4" in message


# ---------------------------------------------------------------------- paths that move about
async def test_documents_that_changed_places_on_the_branch_change_places_on_main(handbook: Served) -> None:
    one = await handbook.write("one.md", "# One\n")
    two = await handbook.write("two.md", "# Two\n")
    await house.begin(handbook)
    await house.rename(handbook, one, "aside.md", "next")
    await house.rename(handbook, two, "one.md", "next")
    await house.rename(handbook, one, "two.md", "next")
    await house.merge(handbook, await house.propose(handbook))
    assert (await handbook.read(one.document_id)).path == "two.md"
    assert (await look_up(handbook, "one.md")).document_id == two.document_id


async def test_a_new_document_takes_the_path_of_one_that_the_branch_deleted(handbook: Served) -> None:
    old = await handbook.write("page.md", "# Old\n")
    await house.begin(handbook)
    await house.delete(handbook, old, "next")
    new = await handbook.write("page.md", "# New\n", branch="next")
    await house.merge(handbook, await house.propose(handbook))
    assert (await look_up(handbook, "page.md")).document_id == new.document_id
    assert (await handbook.read(old.document_id)).HasField("delete_time")


async def test_a_rename_on_main_is_kept_when_the_branch_changed_the_text(handbook: Served) -> None:
    made = await handbook.write("old.md", TEXT)
    await house.begin(handbook)
    await house.on(handbook, made, TEXT + "more\n")
    await house.rename(handbook, made, "new.md")
    await house.merge(handbook, await house.propose(handbook))
    now = await handbook.read(made.document_id)
    assert (now.path, now.content) == ("new.md", TEXT + "more\n")


async def test_what_was_deleted_for_good_on_main_does_not_come_back_unasked(handbook: Served) -> None:
    untouched, edited = await handbook.write("untouched.md"), await handbook.write("edited.md", TEXT)
    await house.begin(handbook)
    await house.on(handbook, edited, TEXT + "more\n")
    for document in (untouched, edited):
        await house.delete(handbook, document)
    await handbook.database.execute("DELETE FROM head WHERE branch = 'main'", tenant="default")
    assert await differing(handbook) == ["edited.md"]
    assert "'edited.md' was changed on 'next' and deleted on 'main'" in await conflicted(handbook)


# ---------------------------------------------------------------------- attachments
async def test_files_of_the_branch_come_over_with_its_documents(handbook: Served) -> None:
    await upload(handbook, "kept.png", b"kept")
    await house.begin(handbook)
    await handbook.write("page.md", "![new](new.png)\n", branch="next")
    await upload(handbook, "new.png", b"new", branch="next")
    review = await house.propose(handbook)
    await house.merge(handbook, review, delete_branch=True)
    assert (await download(handbook, "new.png"))[1] == b"new"
    assert (await download(handbook, "kept.png"))[1] == b"kept"


async def test_a_file_that_is_attached_after_an_approval_takes_it_back(handbook: Served) -> None:
    await house.begin(handbook)
    await handbook.write("page.md", branch="next")
    review = await house.propose(handbook)
    assert (await house.judge(handbook, review)).approvals == 1
    await upload(handbook, "new.png", b"new", branch="next")
    assert (await house.shown(handbook, review)).review.approvals == 0


async def test_files_that_both_attached_are_decided_by_people(handbook: Served) -> None:
    await house.begin(handbook)
    there = await handbook.write("page.md", branch="next")
    await upload(handbook, "same.png", b"theirs", branch="next")
    await upload(handbook, "same.png", b"ours")
    assert "'same.png'" in await conflicted(handbook)
    assert (await refused(handbook.read(there.document_id))).reason == "DOCUMENT_NOT_FOUND"
    assert (await download(handbook, "same.png"))[1] == b"ours"


# ---------------------------------------------------------------------- others write meanwhile
async def test_a_merge_and_saves_at_the_same_moment_lose_nothing(handbook: Served) -> None:
    lines = [f"line {number}\n\n" for number in range(20)]
    made = await handbook.write(content="".join(lines))
    await house.begin(handbook)
    await house.on(handbook, made, "".join(["from the branch\n\n", *lines]))
    review = await house.propose(handbook)

    async def save(number: int) -> None:
        text = "".join([*lines[:number], f"LINE {number}\n\n", *lines[number + 1 :]])
        await handbook.edit(made, text, user=f"user{number}", merge_if_clean=True)

    await asyncio.gather(*(save(number) for number in range(4, 20, 4)), house.merge(handbook, review))
    now = (await handbook.read(made.document_id)).content
    assert now.startswith("from the branch\n")
    assert [f"LINE {number}\n" in now for number in range(4, 20, 4)] == [True] * 4


async def test_a_review_of_many_documents_is_merged_in_one_step(handbook: Served) -> None:
    await house.begin(handbook)
    for number in range(60):
        await handbook.write(f"docs/{number}.md", f"# Number {number}\n", branch="next")
    merged = await house.merge(handbook, await house.propose(handbook))
    assert len(merged.revisions) == 60
    listed = await (await handbook.documents()).ListDocuments(
        doc_pb.ListDocumentsRequest(space="handbook", page_size=100)
    )
    assert len(listed.documents) == 60
