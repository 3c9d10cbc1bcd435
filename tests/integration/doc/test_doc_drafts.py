"""Drafts over gRPC, on a real database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from automesh.core.errors import Kind, ValidationError
from automesh.doc.v1 import draft_service_pb2 as pb
from automesh.doc.v1 import draft_service_pb2_grpc as rpc
from automesh.doc.v1 import space_pb2
from automesh.doc.v1 import space_service_pb2 as space_pb
from services.doc.domain.drafts.errors import DraftChanged, DraftNotFound, TooManyDrafts
from services.doc.domain.errors import SpaceNotFound
from services.doc.domain.spaces.space import MAIN
from tests.integration.doc.doc_house import ADMIN, PERMISSIONS, Served, doc_service, invalid, refused


async def stub(doc: Served, user: str = "ann", *permissions: str) -> rpc.DraftServiceAsyncStub:
    return rpc.DraftServiceStub(await doc.channel(user, *permissions))


async def save(
    doc: Served, draft_id: str = "new-1", content: str = "text", user: str = "ann", **fields: Any
) -> pb.Draft:
    request = pb.SaveDraftRequest(**{"draft_id": draft_id, "space": "handbook", "content": content, **fields})
    return (await (await stub(doc, user)).SaveDraft(request)).draft


async def get(doc: Served, draft_id: str = "new-1", user: str = "ann") -> pb.Draft:
    return (await (await stub(doc, user)).GetDraft(pb.GetDraftRequest(draft_id=draft_id))).draft


async def test_a_draft_comes_back_as_it_was_saved(handbook: Served) -> None:
    saved = await save(handbook, content="# Schön\n", path="guides/start.md")
    assert (saved.version, saved.content, saved.branch, saved.behind) == (1, "", MAIN, False)
    found = await get(handbook)
    assert (found.content, found.path, found.version) == ("# Schön\n", "guides/start.md", 1)


async def test_each_save_counts_and_a_stale_one_is_refused(handbook: Served) -> None:
    await save(handbook, content="one")
    assert (await save(handbook, content="two", version=1)).version == 2
    error = await refused(save(handbook, content="three", version=1))
    assert isinstance(error, DraftChanged)
    assert error.metadata["version"] == "2"
    assert isinstance(await refused(save(handbook, content="another window")), DraftChanged)
    assert (await get(handbook)).content == "two"


async def test_the_same_save_sent_twice_is_one(handbook: Served) -> None:
    await save(handbook, content="one")
    assert (await save(handbook, content="one")).version == 1
    await save(handbook, content="two", version=1)
    assert (await save(handbook, content="two", version=1)).version == 2


async def test_a_draft_that_was_thrown_away_elsewhere_is_not_made_anew_unasked(handbook: Served) -> None:
    await save(handbook)
    for _ in range(2):
        await (await stub(handbook)).DeleteDraft(pb.DeleteDraftRequest(draft_id="new-1"))
    error = await refused(save(handbook, version=1))
    assert isinstance(error, DraftChanged)
    assert error.metadata["version"] == "0"
    assert (await save(handbook)).version == 1


async def test_a_draft_says_when_the_document_has_moved_on(handbook: Served) -> None:
    document = await handbook.write()
    saved = await save(handbook, document.document_id, base=document.head)
    assert not saved.behind
    await handbook.edit(document, "# Start\n\nOther words.\n", user="ben")
    assert (await get(handbook, document.document_id)).behind
    assert (await save(handbook, document.document_id, base=document.head, version=1, content="x")).behind


async def test_nobody_sees_the_draft_of_another_not_even_an_admin(handbook: Served) -> None:
    await save(handbook, content="mine alone")
    for user, permissions in (("ben", PERMISSIONS), ("root", ADMIN)):
        other = await stub(handbook, user, *permissions)
        assert isinstance(await refused(other.GetDraft(pb.GetDraftRequest(draft_id="new-1"))), DraftNotFound)
        assert not (await other.ListDrafts(pb.ListDraftsRequest())).drafts
        await other.DeleteDraft(pb.DeleteDraftRequest(draft_id="new-1"))
    assert (await save(handbook, content="ben's", user="ben")).version == 1
    assert (await get(handbook)).content == "mine alone"
    bodies = await handbook.database.fetch("SELECT body FROM draft", tenant="default")
    assert all(b"mine alone" not in row["body"] for row in bodies)


async def test_a_body_moved_to_another_person_cannot_be_read(handbook: Served) -> None:
    await save(handbook, content="mine alone")
    await handbook.database.execute("UPDATE draft SET username = 'ben'", tenant="default")
    assert (await refused(get(handbook, user="ben"))).kind == "internal"


async def test_the_list_has_the_latest_first_in_pages_and_without_contents(handbook: Served) -> None:
    for number in range(5):
        await save(handbook, f"d{number}")
    drafts = await stub(handbook)
    first = await drafts.ListDrafts(pb.ListDraftsRequest(page_size=3))
    rest = await drafts.ListDrafts(pb.ListDraftsRequest(page_size=3, page_token=first.next_page_token))
    assert [each.draft_id for each in (*first.drafts, *rest.drafts)] == ["d4", "d3", "d2", "d1", "d0"]
    assert (rest.next_page_token, {each.content for each in first.drafts}) == ("", {""})
    assert isinstance(await refused(drafts.ListDrafts(pb.ListDraftsRequest(page_token="x"))), ValidationError)


@pytest.mark.parametrize("draft_id", ["", "a/b", "ä", "x" * 101, "a b"])
async def test_ids_that_are_none_are_refused(handbook: Served, draft_id: str) -> None:
    assert (await invalid(save(handbook, draft_id))).violations[0].field == "draft_id"


async def test_drafts_are_bounded_in_size_and_number(postgres: Any, tmp_path: Any) -> None:
    async with doc_service(postgres, tmp_path, options={"max_drafts": 2, "max_page_bytes": 2000}) as doc:
        await doc.space()
        assert (await invalid(save(doc, content="ä" * 1001))).reason == "DRAFT_TOO_LARGE"
        await save(doc, "one", "ä" * 1000)
        await save(doc, "two")
        error = await refused(save(doc, "three"))
        assert isinstance(error, TooManyDrafts)
        assert error.kind is Kind.EXHAUSTED
        assert (await save(doc, "two", "again", version=1)).version == 2
        assert (await save(doc, "three", user="ben")).version == 1


async def test_a_space_that_is_not_there_takes_no_draft_and_a_deleted_one_takes_its_drafts_along(doc: Served) -> None:
    assert isinstance(await refused(save(doc)), SpaceNotFound)
    await doc.space()
    await save(doc)
    await doc.database.execute("DELETE FROM space", tenant="default")
    assert isinstance(await refused(get(doc)), DraftNotFound)


async def test_drafts_that_nobody_came_back_to_go(postgres: Any, tmp_path: Any) -> None:
    async with doc_service(postgres, tmp_path, options={"clean_every_s": 0.05, "draft_ttl_s": 3600.0}) as doc:
        await doc.space()
        await save(doc, "old")
        await save(doc, "young")
        await doc.database.execute(
            "UPDATE draft SET updated_at = now() - interval '2 hours' WHERE draft_id = 'old'", tenant="default"
        )
        drafts = await stub(doc)
        while len(found := (await drafts.ListDrafts(pb.ListDraftsRequest())).drafts) > 1:
            pass  # each round is a call; the test's own time limit ends it
        assert [each.draft_id for each in found] == ["young"]


async def test_who_is_no_member_of_a_space_any_more_finds_their_drafts_there_no_more(handbook: Served) -> None:
    ann = space_pb2.Member(user="ann", role=space_pb2.MEMBER_ROLE_READER)
    await handbook.space("vault", visibility=space_pb2.VISIBILITY_MEMBERS, members=[ann])
    await save(handbook, "kept", space="handbook")
    await save(handbook, "lost", space="vault", content="what the vault says")
    await members(handbook, "vault", [])
    assert isinstance(await refused(get(handbook, "lost")), DraftNotFound)
    found = await (await stub(handbook)).ListDrafts(pb.ListDraftsRequest())
    assert [each.draft_id for each in found.drafts] == ["kept"]
    await members(handbook, "vault", [ann])
    assert (await get(handbook, "lost")).content == "what the vault says"


async def members(doc: Served, space: str, wanted: Sequence[space_pb2.Member]) -> None:
    spaces = await doc.spaces()
    found = (await spaces.GetSpace(space_pb.GetSpaceRequest(space=space))).space
    del found.members[:]
    found.members.extend(wanted)
    await spaces.UpdateSpace(space_pb.UpdateSpaceRequest(space=found))
