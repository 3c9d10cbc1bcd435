"""The typed editor for programs, against a real service."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automesh.core.errors import AutomationError, Exhausted, NotFound, PermissionDenied, ValidationError
from automesh.doc.v1 import document_service_pb2, space_pb2, space_service_pb2
from automesh.sdk.editing import Editor, SaveState
from automesh.storage.postgres import ENGINE
from automesh.testing.orchestrator import FakeConnection
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.editing import rooms
from tests.integration.doc.doc_house import Served, doc_service
from tests.integration.doc.doc_house_editing import editing, line_to

pytestmark = pytest.mark.postgres
EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "edit_together.py"
SLOW = {"editing_idle_s": 600, "max_page_bytes": 400_000}


@pytest.fixture
async def slow(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Served]:
    async with doc_service(postgres, tmp_path, options=SLOW) as served:
        await served.space()
        yield served


async def connection(served: Served, user: str = "ann") -> FakeConnection:
    return FakeConnection(await served.channel(user), authorization="")


async def test_two_programs_write_one_text(slow: Served) -> None:
    made = await slow.write(content="Grüße, 😀!\n")
    async with (
        Editor(await connection(slow), made.document_id) as ann,
        Editor(await connection(slow, "bob"), made.document_id) as bob,
    ):
        ann.insert(7, "liebe ")
        states = [ann.state]
        await ann.settled()
        assert [*states, ann.state] == [SaveState.SAVING, SaveState.SAVED]
        while bob.text != "Grüße, liebe 😀!\n":
            await bob.changed()
        bob.replace(13, 14, "Welt")
        await bob.settled()
        revision = await bob.save("a better greeting")
        while ann.text != "Grüße, liebe Welt!\n" or ann.revision != revision:
            await ann.changed()
    found = await slow.read(made.document_id)
    assert (found.content, found.head) == ("Grüße, liebe Welt!\n", revision)


async def test_others_are_seen_and_seen_to_leave(slow: Served) -> None:
    made = await slow.write()
    async with Editor(await connection(slow), made.document_id) as ann:
        async with Editor(await connection(slow, "bob"), made.document_id) as bob:
            bob.show(b"line 7")
            while not ann.others:
                await ann.changed()
            assert [(each.user, each.state) for each in ann.others.values()] == [("bob", b"line 7")]
        while ann.others:
            await ann.changed()


async def test_what_is_refused_says_so_and_one_can_start_over(slow: Served) -> None:
    made = await slow.write(content="small\n")
    seen: list[SaveState] = []
    async with Editor(
        await connection(slow), made.document_id, on_change=lambda editor: seen.append(editor.state)
    ) as ann:
        ann.insert(0, "x" * 500_000)
        with pytest.raises(ValidationError, match="larger than is allowed"):
            await ann.settled()
        assert (ann.state, seen[-1]) == (SaveState.NOT_SAVED, SaveState.NOT_SAVED)
        aside = await ann.start_over()
        assert len(aside) > 500_000
        ann.insert(0, "still ")
        await ann.settled()
        assert ann.state is SaveState.SAVED
        await ann.save()
    found = await slow.read(made.document_id)  # the first pieces had room, the last one had not
    assert found.content.startswith("still x")
    assert found.size < 400_000


async def test_what_was_written_without_a_connection_is_kept(slow: Served) -> None:
    made = await slow.write(content="one\n")
    async with line_to(slow) as line, Editor(await connection(slow), made.document_id) as ann:
        ann.insert(4, "two\n")
        await ann.settled()
        line.cut()
        ann.insert(8, "three\n")
        while ann.state is not SaveState.NOT_SAVED:
            await ann.changed()
        assert "trying again" in ann.trouble
        ann.insert(14, "four\n")
        line.mend()
        await ann.settled()
        assert (ann.state, ann.trouble) == (SaveState.SAVED, "")
        line.cut()  # nothing is on its way now, and a revision comes all the same
        line.mend()
        await ann.changed()
        await ann.save()
    assert (await slow.read(made.document_id)).content == "one\ntwo\nthree\nfour\n"


async def test_a_save_that_is_asked_for_while_the_connection_breaks_comes_with_its_message(slow: Served) -> None:
    made = await slow.write(content="one\n")
    async with (
        editing(slow, made.document_id, "bob"),  # while somebody is there, only a save makes a revision
        line_to(slow) as line,
        Editor(await connection(slow), made.document_id) as ann,
    ):
        ann.insert(4, "two\n")
        await ann.settled()
        line.cut()  # the editor does not know yet, and sends it on the stream that is gone
        line.mend()
        revision = await ann.save("while it broke")
        ann.insert(8, "three\n")
        await ann.settled()
        line.cut()
        await ann.changed()  # now it knows, and has no stream to send it on
        line.mend()
        await ann.save("while it was broken")
        ann.insert(14, "four\n")
        await ann.save()  # what was answered is not asked for again
    listed = await (await slow.documents()).ListRevisions(
        document_service_pb2.ListRevisionsRequest(document_id=made.document_id)
    )
    messages = [each.message for each in listed.revisions]
    assert messages[:3] == ["edited together", "while it was broken", "while it broke"]
    assert revision == listed.revisions[2].revision_id


async def test_the_others_see_where_one_is_after_a_broken_connection_too(slow: Served) -> None:
    made = await slow.write()
    async with (
        editing(slow, made.document_id, "bob") as bob,
        line_to(slow) as line,
        Editor(await connection(slow), made.document_id) as ann,
    ):
        ann.show(b"line 1")
        await bob.until(lambda each: bool(each.of("presence")))
        line.cut()
        ann.show(b"line 7")
        await bob.until(lambda each: each.of("presence")[-1].presence.gone)
        line.mend()
        await bob.until(lambda each: each.of("presence")[-1].presence.state == b"line 7")


async def test_a_text_that_the_space_refuses_is_durable_but_not_saved_until_it_is_mended(slow: Served) -> None:
    made = await slow.write(content="one\n")
    async with Editor(await connection(slow), made.document_id) as ann:
        ann.insert(0, "---\ntitle: [broken\n---\n")
        with pytest.raises(ValidationError, match="front matter"):
            await ann.save()
        ann.insert(len(ann.text), "two\n")
        await ann.settled()
        assert (ann.state, "front matter" in ann.trouble) == (SaveState.NOT_SAVED, True)
        ann.delete(0, ann.text.index("one"))
        await ann.save()
        assert ann.state is SaveState.SAVED
    assert (await slow.read(made.document_id)).content == "one\ntwo\n"


async def test_a_room_that_has_begun_anew_ends_the_editor_and_keeps_its_text(slow: Served) -> None:
    made = await slow.write(content="one\n")
    async with line_to(slow) as line, Editor(await connection(slow), made.document_id) as ann:
        line.cut()
        ann.insert(0, "mine ")
        await slow.database.execute("DELETE FROM edit_room", tenant=ENGINE)
        line.mend()
        with pytest.raises(AutomationError) as error:
            await ann.settled()
        assert error.value.reason == "ROOM_BEGAN_ANEW", error.value.message
        assert (ann.text, ann.state) == ("mine one\n", SaveState.NOT_SAVED)
        assert await ann.start_over() == "mine one\n"
        ann.insert(0, "mine ")
        await ann.save()
    assert (await slow.read(made.document_id)).content == "mine one\n"


async def test_a_room_without_a_place_refuses_newcomers_and_lets_those_wait_who_were_in_it(
    slow: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await slow.write(content="one\n")
    async with line_to(slow) as line, Editor(await connection(slow), made.document_id) as ann:
        monkeypatch.setattr(rooms, "MAX_ROOMS", 0)
        monkeypatch.setattr(rooms, "MAX_PEOPLE", 1)
        with pytest.raises(Exhausted, match="1 people are in this room"):
            async with Editor(await connection(slow, "bob"), made.document_id):
                pass
        monkeypatch.setattr(rooms, "MAX_PEOPLE", 0)
        line.cut()
        ann.insert(0, "zero\n")
        line.mend()
        while "are edited here at once" not in ann.trouble and "are in this room" not in ann.trouble:
            await ann.changed()
        assert ann.state is SaveState.NOT_SAVED
        monkeypatch.undo()
        await ann.settled()
        assert (ann.state, ann.text) == (SaveState.SAVED, "zero\none\n")


async def test_an_editor_that_ends_says_so_to_whoever_shows_it(postgres: PostgresForTests, tmp_path: Path) -> None:
    async with doc_service(postgres, tmp_path, options={**SLOW, "editing_check_every_s": 0.1}) as served:
        await served.space()
        made = await served.write()
        told = asyncio.Event()

        def show(editor: Editor) -> None:
            if editor.state is SaveState.NOT_SAVED:
                told.set()

        async with Editor(await connection(served, "bob"), made.document_id, on_change=show) as bob:
            spaces = await served.spaces()
            space = (await spaces.GetSpace(space_service_pb2.GetSpaceRequest(space="handbook"))).space
            space.members.append(space_pb2.Member(user="bob", role=space_pb2.MEMBER_ROLE_READER))
            await spaces.UpdateSpace(space_service_pb2.UpdateSpaceRequest(space=space))
            async with asyncio.timeout(20):
                await told.wait()
            bob.insert(0, "too late ")
            for wait in (bob.settled, bob.save, bob.changed):
                with pytest.raises(PermissionDenied):
                    await wait()


async def test_a_document_that_is_not_there_cannot_be_opened(slow: Served) -> None:
    with pytest.raises(NotFound):
        async with Editor(await connection(slow), "doc_unknown"):
            pass


async def test_the_example_writes_beside_somebody_else(slow: Served) -> None:
    spec = importlib.util.spec_from_file_location("edit_together", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    made = await slow.write(content="# Notes\n\n")
    async with Editor(await connection(slow, "bob"), made.document_id) as bob:
        revision = await example.write(await connection(slow), made.document_id, ["one", "two"])
        while bob.revision != revision:
            await bob.changed()
        assert bob.text == "# Notes\n\none\ntwo\n"
