"""The way of a document through the whole service."""

import pytest

from automesh.doc.v1 import branch_service_pb2 as branch_pb
from automesh.doc.v1 import document_service_pb2 as pb
from automesh.doc.v1 import space_pb2, space_service_pb2
from tests.integration.doc.doc_house import Served, invalid, refused

pytestmark = pytest.mark.postgres


async def test_a_document_is_written_read_changed_and_compared(handbook: Served) -> None:
    made = await handbook.write("guides/start", "---\ntags: [a, b]\n---\n# Start\n\nHello.\n")
    assert (made.path, made.title, list(made.tags), made.owner) == ("guides/start.md", "Start", ["a", "b"], "ann")
    assert (await handbook.read(made.document_id)).content == made.content
    changed = await handbook.edit(made, made.content + "More.\n", user="bob")
    assert changed.updated_by == "bob"
    documents = await handbook.documents()
    diff = await documents.DiffDocument(pb.DiffDocumentRequest(document_id=made.document_id))
    assert "+More." in diff.unified
    assert (diff.lines_added, diff.lines_removed) == (1, 0)
    revisions = await documents.ListRevisions(pb.ListRevisionsRequest(document_id=made.document_id))
    assert [each.author for each in revisions.revisions] == ["bob", "ann"]
    blame = await documents.BlameDocument(pb.BlameDocumentRequest(document_id=made.document_id))
    assert [(each.line, each.count, each.revision_id) for each in blame.ranges] == [
        (1, 6, made.head),
        (7, 1, changed.head),
    ]


async def test_a_stale_write_is_refused_with_both_writes_brought_together(handbook: Served) -> None:
    made = await handbook.write(content="one\ntwo\nthree\nfour\nfive\n")
    await handbook.edit(made, "ONE\ntwo\nthree\nfour\nfive\n", user="bob")
    error = await refused(handbook.edit(made, "one\ntwo\nthree\nfour\nFIVE\n"))
    assert error.reason == "STALE_WRITE"
    assert (await handbook.read(made.document_id)).content == "ONE\ntwo\nthree\nfour\nfive\n"
    merged = await handbook.edit(made, "one\ntwo\nthree\nfour\nFIVE\n", merge_if_clean=True)
    assert merged.content == "ONE\ntwo\nthree\nfour\nFIVE\n"


async def test_a_document_goes_to_the_trash_and_comes_back(handbook: Served) -> None:
    made = await handbook.write()
    documents = await handbook.documents()
    gone = (
        await documents.DeleteDocument(pb.DeleteDocumentRequest(document_id=made.document_id, expected_head=made.head))
    ).document
    assert gone.HasField("delete_time")
    trash = await documents.ListTrash(pb.ListTrashRequest(space="handbook"))
    assert [each.document_id for each in trash.documents] == [made.document_id]
    assert not (await documents.ListDocuments(pb.ListDocumentsRequest(space="handbook"))).documents
    back = await documents.RestoreDocument(
        pb.RestoreDocumentRequest(document_id=made.document_id, expected_head=gone.head)
    )
    assert back.document.content == made.content
    assert not back.document.HasField("delete_time")


async def test_a_renamed_document_is_found_under_its_old_path(handbook: Served) -> None:
    made = await handbook.write("old.md")
    documents = await handbook.documents()
    await documents.UpdateDocument(
        pb.UpdateDocumentRequest(document_id=made.document_id, expected_head=made.head, path="new.md")
    )
    found = await documents.LookUpDocument(pb.LookUpDocumentRequest(space="handbook", path="old.md"))
    assert found.document.path == "new.md"


async def test_a_branch_begins_with_what_its_base_has_and_shows_what_it_changed(handbook: Served) -> None:
    made = await handbook.write()
    branches = await handbook.branches()
    await branches.CreateBranch(branch_pb.CreateBranchRequest(space="handbook", branch="next"))
    there = await handbook.read(made.document_id, branch="next")
    await handbook.edit(there, "# Start\n\nNext.\n")
    found = await branches.CompareBranches(branch_pb.CompareBranchesRequest(space="handbook", branch="next"))
    assert [(each.path, each.both_changed) for each in found.differences] == [("start.md", False)]
    assert (await handbook.read(made.document_id)).content == made.content


async def test_a_space_of_members_is_not_there_for_others(doc: Served) -> None:
    await doc.space(
        "secret",
        visibility=space_pb2.VISIBILITY_MEMBERS,
        members=[space_pb2.Member(user="ann", role=space_pb2.MEMBER_ROLE_WRITER)],
    )
    made = await doc.write(space="secret")
    assert (await refused(doc.read(made.document_id, user="eve"))).reason == "DOCUMENT_NOT_FOUND"
    eve = await doc.spaces("eve", "doc.read")
    assert (await refused(eve.GetSpace(space_service_pb2.GetSpaceRequest(space="secret")))).reason == "SPACE_NOT_FOUND"
    assert not (await eve.ListSpaces(space_service_pb2.ListSpacesRequest())).spaces


@pytest.mark.parametrize("path", ["../up.md", "/top.md", "a//b.md", "con.md", "a\x00b.md", "a/./b.md", "x" * 500])
async def test_a_path_that_some_system_could_not_have_is_refused(handbook: Served, path: str) -> None:
    error = await invalid(handbook.write(path))
    assert error.violations[0].field == "path"


async def test_a_repeated_request_makes_one_document(handbook: Served) -> None:
    first = await handbook.write(request_id="r1")
    again = await handbook.write(request_id="r1")
    assert again.document_id == first.document_id
    assert (await refused(handbook.write("other.md", request_id="r1"))).reason == "REQUEST_ID_REUSED"


async def test_a_page_is_html_with_links_to_where_the_api_has_their_targets(handbook: Served) -> None:
    made = await handbook.write("a/start.md", "# Start\n\n[next](../b.md#x) ![p](p.png) <script>alert(1)</script>\n")
    documents = await handbook.documents()
    page = await documents.RenderDocument(pb.RenderDocumentRequest(document_id=made.document_id))
    assert 'href="/api/v1/spaces/handbook/docs/b.md#x"' in page.html
    assert 'src="/api/v1/spaces/handbook/attachments/a/p.png"' in page.html
    assert "<script" not in page.html
    assert [(each.level, each.text, each.anchor) for each in page.headings] == [(1, "Start", "start")]
    assert page.etag == made.head
    await handbook.edit(made, "# Start\n")
    then = await documents.RenderDocument(pb.RenderDocumentRequest(document_id=made.document_id, revision_id=made.head))
    assert f'src="/api/v1/spaces/handbook/attachments/a/p.png?revision_id={made.head}"' in then.html
