"""Live editing over gRPC: what is written together arrives everywhere, lasts, and becomes revisions."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from pycrdt import Doc, Text

from automesh.core.errors import ValidationError
from automesh.doc.v1 import branch_service_pb2, document_service_pb2, space_pb2, space_service_pb2
from automesh.mesh.errors import from_rpc_error
from automesh.storage.postgres import ENGINE
from automesh.testing.postgres import PostgresForTests
from tests.integration.doc.doc_house import Served, doc_service
from tests.integration.doc.doc_house_editing import LIMIT_S, RawEditor, editing

pytestmark = pytest.mark.postgres
QUICK = {"editing_idle_s": 0.2, "editing_check_every_s": 0.1}


@pytest.fixture
async def house(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Served]:
    """Revisions are cut after a fifth of a second."""
    async with doc_service(postgres, tmp_path, options=QUICK) as served:
        await served.space()
        yield served


@pytest.fixture
async def slow(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Served]:
    """Revisions are cut when somebody says so, or the last one leaves."""
    async with doc_service(postgres, tmp_path, options={"editing_idle_s": 600, "editing_check_every_s": 0.1}) as served:
        await served.space()
        yield served


async def failed(editor: RawEditor) -> Exception:
    """How the stream ends."""
    assert editor.ended is not None
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await editor.ended
    return from_rpc_error(error.value)


async def test_two_people_see_each_other_and_one_revision_names_both(house: Served) -> None:
    made = await house.write(content="# Start\n\nHello.\n")
    async with editing(house, made.document_id, "ann") as ann, editing(house, made.document_id, "bob") as bob:
        assert str(ann) == str(bob) == "# Start\n\nHello.\n"
        assert ann.told[0].joined.head == made.head
        ann.insert(15, "Ann.\n")
        bob.insert(15, "Bob ü.\n")
        await ann.acknowledged()
        await bob.acknowledged()
        await ann.until(lambda each: "Bob ü." in str(each))
        await bob.until(lambda each: "Ann." in str(each))
        revision = await ann.saved()
        assert str(ann) == str(bob)
    found = await house.read(made.document_id)
    assert found.content == str(ann)
    listed = await (await house.documents()).ListRevisions(
        document_service_pb2.ListRevisionsRequest(document_id=made.document_id)
    )
    cut = next(each for each in listed.revisions if each.revision_id == revision)
    assert {cut.author, *cut.co_authors} == {"ann", "bob"}


async def test_a_save_is_answered_with_its_revision_and_message(slow: Served) -> None:
    made = await slow.write()
    async with editing(slow, made.document_id) as ann:
        ann.insert(0, "x")
        ann.say(save={"message": "because"})
        revision = await ann.saved()
        listed = await (await slow.documents()).ListRevisions(
            document_service_pb2.ListRevisionsRequest(document_id=made.document_id)
        )
        assert [(each.revision_id, each.message) for each in listed.revisions[:1]] == [(revision, "because")]
        ann.say(save={"message": "nothing new"})
        assert await ann.saved(2) == revision


async def test_a_revision_is_cut_when_the_last_one_leaves(slow: Served) -> None:
    made = await slow.write()
    async with editing(slow, made.document_id) as ann, editing(slow, made.document_id, "bob") as bob:
        ann.insert(0, "bye ")
        await bob.until(lambda each: str(each).startswith("bye"))
    async with asyncio.timeout(LIMIT_S):
        while not (await slow.read(made.document_id)).content.startswith("bye # Start"):
            await slow.engine.core.doorbell.wait(slow.engine.core.doorbell.rung, 0.1)


async def test_a_write_beside_the_room_is_brought_into_it(slow: Served) -> None:
    made = await slow.write(content="one\ntwo\nthree\n")
    async with editing(slow, made.document_id) as ann:
        ann.insert(0, "zero\n")
        await ann.acknowledged()
        theirs = await slow.edit(made, "one\ntwo\nthree\nfour\n", user="bob")
        ann.say(save={})
        await ann.saved()
        await ann.reads("zero\none\ntwo\nthree\nfour\n")
    found = await slow.read(made.document_id)
    assert found.content == "zero\none\ntwo\nthree\nfour\n"
    assert found.head != theirs.head


async def test_a_quiet_room_follows_what_is_written_beside_it(slow: Served) -> None:
    made = await slow.write(content="one\n")
    async with editing(slow, made.document_id) as ann:
        theirs = await slow.edit(made, "one\ntwo\n", user="bob")
        await ann.reads("one\ntwo\n")
        assert await ann.saved() == theirs.head
        ann.insert(0, "zero\n")
        ann.say(save={})
        await ann.saved(2)
    assert (await slow.read(made.document_id)).content == "zero\none\ntwo\n"


async def test_a_conflict_keeps_the_text_says_so_and_can_be_mended(slow: Served) -> None:
    made = await slow.write(content="one\ntwo\n")
    async with editing(slow, made.document_id) as ann:
        ann.insert(0, "Ann ")
        await ann.acknowledged()
        await slow.edit(made, "Bob one\ntwo\n", user="bob")
        ann.say(save={})
        told = await ann.not_saved("STALE_WRITE")
        assert "Bob one" in told.message
        assert "bob" in told.message
        assert str(ann) == "Ann one\ntwo\n"
        assert (await slow.read(made.document_id)).content == "Bob one\ntwo\n"
    async with editing(slow, made.document_id, "carl") as carl:  # kept, and told to whoever comes
        assert str(carl) == "Ann one\ntwo\n"
        await carl.not_saved("STALE_WRITE")

        def mend(text: Text) -> None:
            del text[0:3]
            text.insert(0, "Bob")

        carl.send(carl.change(mend))
        carl.insert(len(carl.text), "three\n")
        carl.say(save={})
        await carl.saved()
    assert (await slow.read(made.document_id)).content == "Bob one\ntwo\nthree\n"


async def test_bytes_that_are_no_update_end_only_the_stream_that_sent_them(slow: Served) -> None:
    made = await slow.write()
    async with editing(slow, made.document_id) as ann, editing(slow, made.document_id, "bob") as bob:
        for garbage in (b"garbage", b"", b"\xff" * 50):
            async with editing(slow, made.document_id, "eve") as eve:
                eve.send(garbage)
                error = await failed(eve)
                assert (error.kind, error.reason) == ("invalid", "UPDATE_MALFORMED")  # type: ignore[attr-defined]
        ann.insert(0, "still ")
        await bob.until(lambda each: str(each).startswith("still"))


@pytest.mark.parametrize("numbers", [[0], [-1], [1, 1], [7, 3]])
async def test_numbers_that_do_not_count_on_end_the_stream(slow: Served, numbers: list[int]) -> None:
    made = await slow.write()
    async with editing(slow, made.document_id) as ann:
        for number in numbers:
            ann.number = number - 1
            ann.insert(0, "x")
        error = await failed(ann)
        assert isinstance(error, ValidationError)
        assert [each.field for each in error.violations] == ["update.number"]


async def test_what_is_too_large_is_refused_and_leaves_no_trace(postgres: PostgresForTests, tmp_path: Path) -> None:
    async with doc_service(postgres, tmp_path, options={**QUICK, "max_page_bytes": 2000}) as served:
        await served.space()
        made = await served.write(content="small\n")
        async with editing(served, made.document_id) as ann, editing(served, made.document_id, "bob") as bob:
            bob.insert(0, "y" * 3000)
            told = await bob.not_saved("TOO_LARGE")
            assert (told.acknowledged, told.retrying) == (0, False)
            bob.send(b"\x00" * (1024 * 1024 + 1))
            await bob.until(lambda each: len(each.of("not_saved")) == 2)
            ann.insert(0, "x")
            await ann.acknowledged()
            assert str(ann) == "xsmall\n"
            # what builds on a refused update cannot be taken either
            bob.insert(0, "z")
            await bob.until(lambda each: len(each.of("not_saved")) == 3)
            await ann.saved()
        assert (await served.read(made.document_id)).content == "xsmall\n"


@pytest.mark.slow
async def test_an_update_that_keeps_yjs_busy_is_refused_and_nobody_else_waits_for_it(slow: Served) -> None:
    made = await slow.write(content="")

    def backwards(client: int, count: int) -> bytes:
        doc: Doc[Text] = Doc(client_id=client)
        text = doc.get("content", type=Text)
        with doc.transaction():
            for _ in range(count):
                text.insert(0, "y")
        return doc.get_update()

    async with editing(slow, made.document_id) as ann, editing(slow, made.document_id, "eve") as eve:
        eve.send(backwards(1, 20_000))
        await eve.acknowledged()
        eve.send(backwards(2, 20_000))  # on its own it takes most of a minute, beside the first
        await eve.not_saved("TOO_COSTLY")
        ann.insert(0, "still here ")
        await ann.acknowledged()
        ann.say(save={})
        await ann.saved()
    assert "still here" in (await slow.read(made.document_id)).content


async def test_whoever_comes_back_is_sent_what_is_missing_and_sends_what_is_missing(slow: Served) -> None:
    made = await slow.write(content="shared\n")
    async with editing(slow, made.document_id) as ann:
        mine = ann.doc
    lost = Doc[Text]()
    lost.apply_update(mine.get_update())
    away = RawEditor(lost)
    away.change(lambda text: text.insert(0, "written on a train. "))
    async with editing(slow, made.document_id, "bob") as bob:
        bob.insert(len(bob.text), "meanwhile\n")
        await bob.acknowledged()
        async with editing(slow, made.document_id, doc=lost) as again:
            again.send(lost.get_update(again.told[0].joined.state_vector))
            await again.acknowledged()
            await bob.reads("written on a train. shared\nmeanwhile\n")
            assert str(again) == str(bob)


async def test_a_room_that_has_begun_anew_takes_nobody_with_an_old_text(slow: Served) -> None:
    made = await slow.write(content="shared\n")
    async with editing(slow, made.document_id) as ann:
        old = ann.doc
    await slow.database.execute("DELETE FROM edit_room", tenant=ENGINE)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        async with editing(slow, made.document_id, doc=old):
            pass
    assert from_rpc_error(error.value).reason == "ROOM_BEGAN_ANEW"
    async with editing(slow, made.document_id) as ann:
        assert str(ann) == "shared\n"


async def test_presences_are_seen_by_the_others_and_by_those_who_come_later(slow: Served) -> None:
    made = await slow.write()
    async with editing(slow, made.document_id) as ann, editing(slow, made.document_id, "bob") as bob:
        bob.say(presence={"user": "somebody else", "state": b"line 3"})
        await ann.until(lambda each: bool(each.of("presence")))
        there = ann.of("presence")[0].presence
        assert (there.user, there.state, there.gone) == ("bob", b"line 3", False)
        async with editing(slow, made.document_id, "carl") as carl:
            await carl.until(lambda each: bool(each.of("presence")))
        bob.stop()
        await ann.until(lambda each: each.of("presence")[-1].presence.gone)
        assert not bob.of("presence")


async def test_whoever_loses_the_right_to_write_loses_the_stream(slow: Served) -> None:
    made = await slow.write()
    spaces = await slow.spaces()
    async with editing(slow, made.document_id, "bob") as bob:
        space = (await spaces.GetSpace(space_service_pb2.GetSpaceRequest(space="handbook"))).space
        space.members.append(space_pb2.Member(user="bob", role=space_pb2.MEMBER_ROLE_READER))
        await spaces.UpdateSpace(space_service_pb2.UpdateSpaceRequest(space=space))
        assert (await failed(bob)).kind == "forbidden"  # type: ignore[attr-defined]
    async with editing(slow, made.document_id, "ann") as ann:
        ann.insert(0, "x")
        await ann.acknowledged()


async def test_a_branch_that_wants_reviews_is_not_edited_together(slow: Served) -> None:
    await slow.space("strict", rules={"required_approvals": 1})
    await (await slow.branches()).CreateBranch(branch_service_pb2.CreateBranchRequest(space="strict", branch="work"))
    made = await slow.write(space="strict", branch="work")
    async with editing(slow, made.document_id, branch="work") as ann:
        ann.insert(0, "x")
        ann.say(save={})
        await ann.saved()
    assert (await slow.read(made.document_id, branch="work")).content.startswith("x# Start")


async def test_documents_of_other_tenants_and_hidden_spaces_have_no_rooms(slow: Served) -> None:
    await slow.space("secret", visibility=space_pb2.VISIBILITY_MEMBERS, members=[
        space_pb2.Member(user="ann", role=space_pb2.MEMBER_ROLE_WRITER),
        space_pb2.Member(user="rob", role=space_pb2.MEMBER_ROLE_READER),
    ])  # fmt: skip
    made = await slow.write(space="secret")
    for user, kind in (("bob", "not_found"), ("rob", "forbidden")):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            async with editing(slow, made.document_id, user):
                pass
        assert from_rpc_error(error.value).kind == kind


async def test_a_stream_begins_with_a_join(slow: Served) -> None:
    editor = RawEditor()
    from automesh.doc.v1 import editing_service_pb2_grpc as rpc

    stub = rpc.EditingServiceStub(await slow.channel())
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await editor.run(stub, "", "", b"")
    assert from_rpc_error(error.value).kind == "invalid"
