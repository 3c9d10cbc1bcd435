"""Documents through the whole service: bad input, many editors, histories, trash, request ids, housekeeping."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from automesh.doc.v1 import document_pb2, space_pb2
from automesh.doc.v1 import document_service_pb2 as pb
from automesh.doc.v1 import document_service_pb2_grpc as rpc
from automesh.doc.v1 import space_service_pb2 as space_pb
from services.doc.loops.housekeeping import Housekeeping
from tests.integration.doc import doc_house_reviews as house
from tests.integration.doc.doc_house import Served, invalid, refused

pytestmark = pytest.mark.postgres

MIB = 1024 * 1024


async def nothing_there(served: Served) -> bool:
    documents = await served.documents()
    return not (await documents.ListDocuments(pb.ListDocumentsRequest(space="handbook"))).documents


# ---------------------------------------------------------------------- bad input
async def test_a_page_that_is_too_large_is_refused_with_the_limit(handbook: Served) -> None:
    error = await invalid(handbook.write(content="x" * (2 * MIB + 1)))
    assert (error.reason, error.metadata["limit"], error.metadata["size"]) == (
        "PAGE_TOO_LARGE", str(2 * MIB), str(2 * MIB + 1),
    )  # fmt: skip
    assert "divide it" in error.message
    made = await handbook.write(content="x" * 2 * MIB)
    assert (await handbook.read(made.document_id)).size == 2 * MIB


async def test_a_page_of_50_mb_does_not_get_through_and_the_service_goes_on(handbook: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await handbook.write(content="x" * (50 * MIB))
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await nothing_there(handbook)
    assert (await handbook.write()).path == "start.md"


async def test_text_that_is_no_utf8_never_becomes_a_document(handbook: Served) -> None:
    channel = await handbook.channel()
    call: Any = channel.unary_unary("/automesh.doc.v1.DocumentService/CreateDocument", request_serializer=bytes)
    good = pb.CreateDocumentRequest(space="handbook", path="start.md", content="@@@@").SerializeToString()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(good.replace(b"@@@@", b"\xff\xfe@@"))
    assert error.value.code() is grpc.StatusCode.UNKNOWN  # gRPC's own: what came was no message
    assert "bad UTF-8" in (error.value.details() or "")
    assert await nothing_there(handbook)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"content": "a\nb\x00"}, "content", "line 2 has a NUL"),
        ({"message": "a\x00"}, "message", "NUL"),
        ({"message": "m" * 2001}, "message", "at most 2000"),
        ({"content": "---\na: &x [1]\nb: *x\n---\n"}, "content", "aliases"),
        ({"content": "---\n" + "[" * 100 + "]" * 100 + "\n---\n"}, "content", "levels"),
        ({"content": "---\ntitle: a: b\n---\n"}, "content", "line 2"),
        ({"path": "aux.md"}, "path", "devices"),
        ({"path": "a/../b.md"}, "path", "'..'"),
        ({"path": ""}, "path", "required"),
    ],
)
async def test_what_cannot_be_a_document_is_refused_with_its_place(
    handbook: Served, fields: dict[str, Any], field: str, words: str
) -> None:
    fields = {"path": "start.md", **fields}
    error = await invalid(handbook.write(**fields))
    assert error.violations[0].field == field
    assert words in error.message
    assert await nothing_there(handbook)
    made = await handbook.write()
    if "path" not in fields or fields["path"] == "start.md":
        changes = {name: value for name, value in fields.items() if name != "path"}
        error = await invalid(handbook.edit(made, changes.pop("content", "x"), **changes))
        assert error.violations[0].field == field
        assert (await handbook.read(made.document_id)).head == made.head


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("".join(f"[l{number}](p{number}.md)\n" for number in range(100_000)), id="100,000 links"),
        pytest.param("".join("  " * level + f"- level {level}\n" for level in range(200)), id="200 levels"),
        pytest.param("> " * 500 + "deep", id="quotes"),
        pytest.param("[" * 50_000, id="brackets"),
        pytest.param("<script>alert(1)</script>\n<svg onload=alert(1)>\n[x](javascript:alert(1))\n", id="html"),
        pytest.param("\u202e\u0000".replace("\x00", "") + "\ufeff# BOM\n", id="marks"),
        pytest.param("\r\n".join(["# Windows", "", "line"]), id="carriage returns"),
        pytest.param("x" * 1_500_000, id="one long line"),
        pytest.param("", id="empty"),
    ],
)
@pytest.mark.slow
async def test_a_text_that_is_hard_to_read_is_kept_as_it_is(handbook: Served, content: str) -> None:
    async with asyncio.timeout(20):
        made = await handbook.write(content=content)
    found = await handbook.read(made.document_id)
    assert found.content == content
    if len(content) < MIB:
        assert (await handbook.edit(found, content + "\nmore")).content == content + "\nmore"


@pytest.mark.slow
async def test_others_are_answered_while_a_large_page_is_saved(handbook: Served) -> None:
    small = await handbook.write("small.md")
    large = "".join(f"## Head {number}\n\nSome [link](x{number}.md) and words.\n\n" for number in range(30_000))
    saving = asyncio.create_task(handbook.write("large.md", large))
    answered = 0
    while not saving.done():
        async with asyncio.timeout(2):
            await handbook.read(small.document_id)
        answered += 1
    assert (await saving).path == "large.md"
    assert answered > 3


# ---------------------------------------------------------------------- several at once
async def test_of_two_who_save_at_once_one_is_told_what_the_other_did(handbook: Served) -> None:
    made = await handbook.write(content="one\n\ntwo\n")
    answers = await asyncio.gather(
        handbook.edit(made, "ONE\n\ntwo\n", user="ann"),
        handbook.edit(made, "one\n\nTWO\n", user="bob"),
        return_exceptions=True,
    )
    [saved] = [each for each in answers if isinstance(each, document_pb2.Document)]
    [failed] = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert failed.code() == grpc.StatusCode.ABORTED
    assert saved.updated_by in (failed.details() or "")
    now = await handbook.read(made.document_id)
    assert (now.head, now.content) == (saved.head, saved.content)


async def test_twenty_who_save_different_lines_at_once_are_all_in_the_page(handbook: Served) -> None:
    lines = [f"line {number}\n\n" for number in range(20)]
    made = await handbook.write(content="".join(lines))

    async def save(number: int) -> None:
        text = "".join([*lines[:number], f"LINE {number}\n\n", *lines[number + 1 :]])
        for _ in range(20):
            try:
                await handbook.edit(made, text, user=f"user{number}", merge_if_clean=True)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.ABORTED:
                    raise
                continue
            return
        pytest.fail("a clean merge never came through")

    await asyncio.gather(*(save(number) for number in range(20)))
    now = await handbook.read(made.document_id)
    assert now.content == "".join(lines).upper()
    documents = await handbook.documents()
    revisions = await documents.ListRevisions(pb.ListRevisionsRequest(document_id=made.document_id, page_size=100))
    assert len(revisions.revisions) == 21


async def test_a_write_without_the_head_that_was_read_is_refused(handbook: Served) -> None:
    made = await handbook.write()
    documents = await handbook.documents()
    calls = (
        documents.UpdateDocument(pb.UpdateDocumentRequest(document_id=made.document_id, content="x")),
        documents.DeleteDocument(pb.DeleteDocumentRequest(document_id=made.document_id)),
        documents.RestoreDocument(pb.RestoreDocumentRequest(document_id=made.document_id)),
    )
    for call in calls:
        assert [each.field for each in (await invalid(call)).violations] == ["expected_head"]
    error = await refused(handbook.edit(made, "x", expected_head="rev_unknown"))
    assert error.reason == "REVISION_NOT_FOUND"


async def test_histories_that_have_nothing_in_common_are_two_texts(handbook: Served) -> None:
    one, two = await handbook.write("one.md", "one\n"), await handbook.write("two.md", "two\n")
    documents = await handbook.documents()
    merge = pb.MergeDocumentRequest(document_id=one.document_id, ours=one.head, theirs=two.head)
    assert (await refused(documents.MergeDocument(merge))).reason == "REVISION_NOT_FOUND"
    error = await refused(handbook.edit(one, "x", merged_revision=two.head))
    assert error.reason == "REVISION_NOT_FOUND"
    found = await documents.MergeDocument(
        pb.MergeDocumentRequest(document_id=one.document_id, content="other\n", theirs=one.head)
    )
    assert found.merge.base == ""
    assert [(each.ours, each.theirs) for each in found.merge.conflicts] == [("other\n", "one\n")]


# ---------------------------------------------------------------------- histories
async def test_an_earlier_revision_is_read_compared_and_brought_back(handbook: Served) -> None:
    first = await handbook.write(content="# One\n")
    second = await handbook.edit(first, "# Two\n")
    third = await handbook.edit(second, "# Three\n")
    earlier = await handbook.read(first.document_id, revision_id=first.head)
    assert (earlier.content, earlier.title, earlier.head) == ("# One\n", "One", first.head)
    documents = await handbook.documents()
    diff = await documents.DiffDocument(
        json_format.ParseDict(
            {"documentId": first.document_id, "from": first.head, "to": second.head}, pb.DiffDocumentRequest()
        )
    )
    assert "-# One\n+# Two\n" in diff.unified
    restored = await documents.RestoreDocument(
        pb.RestoreDocumentRequest(document_id=first.document_id, expected_head=third.head, revision_id=first.head)
    )
    assert restored.document.content == "# One\n"
    listed = await documents.ListRevisions(pb.ListRevisionsRequest(document_id=first.document_id))
    assert [each.change for each in listed.revisions] == [
        document_pb2.CHANGE_RESTORE, document_pb2.CHANGE_EDIT, document_pb2.CHANGE_EDIT, document_pb2.CHANGE_CREATE,
    ]  # fmt: skip


async def test_the_history_of_a_space_is_searched(handbook: Served) -> None:
    made = await handbook.write(content="alpha\n")
    gone = await handbook.edit(made, "beta\n", user="bob")
    await handbook.write("other.md", "alpha alpha\n")
    documents = await handbook.documents()
    found = await documents.SearchHistory(pb.SearchHistoryRequest(space="handbook", text="alpha"))
    assert [(each.revision.author, each.before, each.after) for each in found.hits] == [
        ("ann", 0, 2), ("bob", 1, 0), ("ann", 0, 1),
    ]  # fmt: skip
    assert found.hits[1].revision.revision_id == gone.head
    error = await invalid(documents.SearchHistory(pb.SearchHistoryRequest(space="handbook", text="a")))
    assert error.violations[0].field == "text"


async def test_a_reader_may_read_and_no_more(doc: Served) -> None:
    await doc.space(members=[space_pb2.Member(user="eve", role=space_pb2.MEMBER_ROLE_READER)])
    made = await doc.write()
    assert (await doc.read(made.document_id, user="eve")).content == made.content
    for call in (doc.edit(made, "mine", user="eve"), doc.write("other.md", user="eve")):
        error = await refused(call)
        assert (error.reason, error.kind) == ("PERMISSION_DENIED", "forbidden")
    channel = await doc.channel("bob", "doc.read")
    stub = rpc.DocumentServiceStub(channel)
    update = pb.UpdateDocumentRequest(document_id=made.document_id, expected_head=made.head, content="mine")
    assert (await refused(stub.UpdateDocument(update))).kind == "forbidden"


async def test_what_a_deleted_page_had_is_not_brought_back_by_a_late_save(handbook: Served) -> None:
    made = await handbook.write(content="one\n\ntwo\n")
    gone = await house.delete(handbook, made)
    error = await refused(handbook.edit(made, "one\n\nTWO\n", merge_if_clean=True))
    assert error.reason == "DOCUMENT_TRASHED"
    assert (await handbook.read(made.document_id)).head == gone.head


# ---------------------------------------------------------------------- housekeeping
async def test_the_trash_old_requests_and_unused_bodies_go_in_time(handbook: Served) -> None:
    spaces = await handbook.spaces()
    space = (await spaces.GetSpace(space_pb.GetSpaceRequest(space="handbook"))).space
    space.rules.trash_retention.FromSeconds(3600)
    await spaces.UpdateSpace(space_pb.UpdateSpaceRequest(space=space))
    made = await handbook.write(request_id="r")
    kept = await handbook.write("kept.md", "# Kept\n", request_id="s")
    await house.delete(handbook, made)
    core, database = handbook.engine.core, handbook.database
    housekeeping = Housekeeping(core.documents, core.changes, every_s=60)
    await housekeeping.clean_up()
    assert (await handbook.read(made.document_id)).HasField("delete_time")

    for statement in (
        "UPDATE head SET deleted_at = deleted_at - interval '2 hours' WHERE deleted_at IS NOT NULL",
        "UPDATE write_request SET created_at = created_at - interval '8 days'",
        "UPDATE change SET created_at = created_at - interval '8 days'",
    ):
        await database.execute(statement, tenant="default")
    await housekeeping.clean_up()
    assert (await refused(handbook.read(made.document_id))).reason == "DOCUMENT_NOT_FOUND"
    counts = [
        await database.fetchval(query, tenant="default")
        for query in (
            "SELECT count(*) FROM document", "SELECT count(*) FROM content", "SELECT count(*) FROM write_request",
            "SELECT count(*) FROM loose_content", "SELECT count(*) FROM change",
        )
    ]  # fmt: skip
    assert counts == [1, 1, 0, 0, 0]
    assert (await handbook.read(kept.document_id)).content == "# Kept\n"
