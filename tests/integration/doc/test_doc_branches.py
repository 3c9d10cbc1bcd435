"""Spaces and branches through the whole service."""

from typing import Any

import pytest

from automesh.doc.v1 import branch_service_pb2 as pb
from automesh.doc.v1 import document_pb2, space_pb2
from automesh.doc.v1 import document_service_pb2 as doc_pb
from automesh.doc.v1 import space_service_pb2 as space_pb
from tests.integration.doc import doc_house_reviews as house
from tests.integration.doc.doc_house import Served, invalid, refused

pytestmark = pytest.mark.postgres


async def compare(served: Served, branch: str = "next", **fields: Any) -> pb.CompareBranchesResponse:
    request = pb.CompareBranchesRequest(space="handbook", branch=branch, **fields)
    return await (await served.branches()).CompareBranches(request)


@pytest.mark.parametrize("name", ["", "a/b", "-x", "..", "ä", "x" * 101])
async def test_a_branch_without_a_plain_name_is_refused(handbook: Served, name: str) -> None:
    assert (await invalid(house.begin(handbook, name))).violations[0].field == "branch"


async def test_a_branch_begins_somewhere_and_once(handbook: Served) -> None:
    await house.begin(handbook)
    for name, base, reason in (
        ("next", "", "BRANCH_TAKEN"),
        ("main", "", "BRANCH_TAKEN"),
        ("last", "nowhere", "BRANCH_NOT_FOUND"),
    ):
        assert (await refused(house.begin(handbook, name, base=base))).reason == reason
    assert (await refused(house.begin(handbook, space="nowhere"))).reason == "SPACE_NOT_FOUND"
    listed = await (await handbook.branches()).ListBranches(pb.ListBranchesRequest(space="handbook"))
    assert [(each.branch, each.base, each.created_by) for each in listed.branches] == [
        ("next", "main", "ann"),
        ("main", "", "root"),
    ]


async def test_the_main_branch_stays_and_others_go(handbook: Served) -> None:
    made = await handbook.write()
    await house.begin(handbook)
    branches = await handbook.branches()
    main = pb.DeleteBranchRequest(space="handbook", branch="main")
    assert (await refused(branches.DeleteBranch(main))).reason == "BRANCH_IN_USE"
    for _ in range(2):
        await branches.DeleteBranch(pb.DeleteBranchRequest(space="handbook", branch="next"))
    assert (await refused(handbook.read(made.document_id, branch="next"))).reason == "DOCUMENT_NOT_FOUND"
    assert (await refused(handbook.write("x.md", branch="next"))).reason == "BRANCH_NOT_FOUND"
    assert (await handbook.read(made.document_id)).content == made.content


async def test_differences_come_in_pages_and_say_what_the_branch_did(handbook: Served) -> None:
    for number in range(5):
        await handbook.write(f"{number}.md")
    await house.begin(handbook)
    for number in range(5):
        request = doc_pb.LookUpDocumentRequest(space="handbook", path=f"{number}.md", branch="next")
        there = (await (await handbook.documents()).LookUpDocument(request)).document
        await handbook.edit(there, f"# {number}\n")
    found: list[str] = []
    token = ""
    while True:
        page = await compare(handbook, page_size=2, page_token=token)
        found += [each.path for each in page.differences]
        assert {each.change for each in page.differences} <= {document_pb2.CHANGE_EDIT}
        token = page.next_page_token
        if not token:
            break
    assert sorted(found) == [f"{number}.md" for number in range(5)]
    error = await invalid(compare(handbook, page_size=2, page_token="nonsense"))
    assert error.violations[0].field == "page_token"
    assert (await refused(compare(handbook, "nowhere"))).reason == "BRANCH_NOT_FOUND"


async def test_a_branch_of_a_branch_is_compared_with_either(handbook: Served) -> None:
    made = await handbook.write()
    await house.begin(handbook)
    await house.on(handbook, made, "# Next\n")
    await house.begin(handbook, "further", base="next")
    await house.on(handbook, made, "# Further\n", "further")
    for base, both in (("next", False), ("main", False)):
        [difference] = (await compare(handbook, "further", base=base)).differences
        assert (difference.path, difference.both_changed) == ("start.md", both)
    merged = await house.merge(handbook, await house.propose(handbook, "further", target="next"))
    assert [each.branch for each in merged.revisions] == ["next"]
    assert (await handbook.read(made.document_id)).content == made.content
    assert (await handbook.read(made.document_id, branch="next")).content == "# Further\n"
    await house.merge(handbook, await house.propose(handbook))
    assert (await handbook.read(made.document_id)).content == "# Further\n"
    assert not (await compare(handbook, "further")).differences


async def test_approvals_protect_the_main_branch_and_no_other(handbook: Served) -> None:
    made = await handbook.write()
    await house.require_approvals(handbook, 1)
    await house.begin(handbook)
    await house.begin(handbook, "further", base="next")
    await house.on(handbook, made, "# Further\n", "further")
    review = await house.propose(handbook, "further", target="next")
    assert review.required_approvals == 0
    await house.merge(handbook, review)
    deletion = doc_pb.DeleteDocumentRequest(document_id=made.document_id, expected_head=made.head)
    for call in (
        handbook.write("new.md"),
        handbook.edit(made, "mine"),
        (await handbook.documents()).DeleteDocument(deletion),
    ):
        error = await refused(call)
        assert (error.reason, error.kind) == ("BRANCH_PROTECTED", "precondition")


# ---------------------------------------------------------------------- spaces
async def test_a_space_changes_by_the_etag_that_was_read(doc: Served) -> None:
    made = (await doc.space(title="Handbook")).space
    spaces = await doc.spaces()
    made.title = "Ours"
    changed = (await spaces.UpdateSpace(space_pb.UpdateSpaceRequest(space=made))).space
    assert (changed.title, changed.etag != made.etag) == ("Ours", True)
    error = await refused(spaces.UpdateSpace(space_pb.UpdateSpaceRequest(space=made)))
    assert (error.reason, error.kind) == ("SPACE_CHANGED", "aborted")
    made.etag = ""
    assert (await invalid(spaces.UpdateSpace(space_pb.UpdateSpaceRequest(space=made)))).violations[
        0
    ].field == "space.etag"


async def test_a_space_with_documents_goes_when_it_is_forced_and_said_why(handbook: Served) -> None:
    made = await handbook.write()
    spaces = await handbook.spaces()
    request = space_pb.DeleteSpaceRequest(space="handbook")
    assert (await refused(spaces.DeleteSpace(request))).reason == "SPACE_NOT_EMPTY"
    request.force = True
    assert (await invalid(spaces.DeleteSpace(request))).violations[0].field == "reason"
    request.reason = "moved elsewhere"
    await spaces.DeleteSpace(request)
    assert (await refused(handbook.read(made.document_id))).reason == "DOCUMENT_NOT_FOUND"
    await handbook.space()
    assert not (
        await (await handbook.documents()).ListDocuments(doc_pb.ListDocumentsRequest(space="handbook"))
    ).documents


async def test_a_member_who_leaves_finds_nothing_any_more(doc: Served) -> None:
    ann = space_pb2.Member(user="ann", role=space_pb2.MEMBER_ROLE_WRITER)
    made = (await doc.space(visibility=space_pb2.VISIBILITY_MEMBERS, members=[ann])).space
    document = await doc.write()
    del made.members[:]
    await (await doc.spaces()).UpdateSpace(space_pb.UpdateSpaceRequest(space=made))
    assert (await refused(doc.read(document.document_id))).reason == "DOCUMENT_NOT_FOUND"
    listed = await (await doc.documents()).ListDocuments(doc_pb.ListDocumentsRequest())
    assert not listed.documents
