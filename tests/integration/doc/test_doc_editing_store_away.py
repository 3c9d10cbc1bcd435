"""Rooms whose store is away, slow or busy for a moment: whoever waits is answered, and nothing is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from automesh.core.errors import AutomationError, Unavailable
from automesh.storage.faults import Contended, DatabaseSlow
from automesh.storage.postgres import ENGINE
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.documents.document import Head
from services.doc.domain.documents.requests import Edit, Restore
from services.doc.domain.editing import live_room, room_revisions
from services.doc.domain.editing.ports import Verdict
from services.doc.domain.editing.said import NotSaved, Saved
from services.doc.domain.editing.waiting import MAX_WAITING
from services.doc.engine.core import Core
from tests.integration.doc.doc_house_core import ANNA, BEN, doc_core, written
from tests.integration.doc.doc_house_rooms import Replica, RoomEditor

pytestmark = pytest.mark.postgres
AWAY = Unavailable("the database is away")


@pytest.fixture
async def core(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Core]:
    async with doc_core(postgres, tmp_path, editing_idle_s=600, editing_check_every_s=600) as core:
        yield core


@pytest.fixture
async def replica(core: Core, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Replica]:
    """What fails is tried again, and what is beside the room is looked at, nearly at once."""
    monkeypatch.setattr(room_revisions, "RETRY_S", 0.05)
    monkeypatch.setattr(live_room, "TICK_S", 0.05)
    monkeypatch.setattr(live_room, "FOLLOW_EVERY_S", 0.05)
    replica = Replica(core)
    yield replica
    await replica.rooms.close()


@pytest.fixture
async def anna(core: Core, replica: Replica) -> RoomEditor:
    """In a room of her own."""
    head = await written(core, "page.md", "one\n")
    anna = RoomEditor("anna", head.document_id, replica)
    await anna.come()
    return anna


def failing(name: str, error: AutomationError) -> Callable[[str], None]:
    """Once, when this is done."""
    errors = [error]

    def before(done: str) -> None:
        if done == name and errors:
            raise errors.pop()

    return before


async def messages(core: Core, document_id: str) -> list[str]:
    """Of its revisions, the latest first."""
    listed = await core.reader.revisions(ANNA, document_id, "main", author="", limit=50, after="")
    return [each.message for each in listed]


async def doubtful(editor: RoomEditor, message: str = "") -> None:
    """Now the text in memory has to be made anew, from a store that is away."""
    await editor.settled()
    editor.replica.store.away = True
    await editor.ask(message)
    await editor.until(lambda: editor.of(NotSaved))


async def test_whoever_comes_while_the_store_is_away_is_told_so(replica: Replica, anna: RoomEditor) -> None:
    await anna.write(lambda text: text.insert(0, "zero\n"))
    await doubtful(anna)
    ben = RoomEditor("ben", anna.document_id, replica)
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable, match="database is away"):
            await ben.come()
    replica.store.away = False
    await ben.come()
    assert str(ben) == "zero\none\n"


async def test_a_save_that_fails_is_made_later_with_its_message_and_answered(core: Core, anna: RoomEditor) -> None:
    await anna.write(lambda text: text.insert(0, "zero\n"))
    await doubtful(anna, "because")
    anna.replica.store.away = False
    await anna.until(lambda: anna.of(Saved))
    assert [each.reason for each in anna.of(NotSaved)] == ["STORE_AWAY"]
    assert (await messages(core, anna.document_id))[0] == "because"


async def test_a_save_of_nothing_new_is_answered_when_the_store_comes_back(anna: RoomEditor) -> None:
    await doubtful(anna)
    anna.replica.store.away = False
    await anna.until(lambda: anna.of(Saved))
    assert len(anna.of(NotSaved)) == 1


async def test_saves_that_fail_leave_room_for_others(anna: RoomEditor) -> None:
    await doubtful(anna)
    for _ in range(MAX_WAITING + 10):
        await anna.ask()
    await anna.write(lambda text: text.insert(0, "zero\n"))
    anna.replica.store.away = False
    await anna.settled()


async def test_a_save_that_has_to_wait_is_not_put_off_by_those_who_go_on_writing(core: Core, anna: RoomEditor) -> None:
    await anna.write(lambda text: text.insert(0, "zero\n"))
    await anna.settled()
    hold = "UPDATE edit_room SET cutter = $1, cutting_until = now() + interval '1 hour'"
    await core.outside.database.execute(hold, "somebody else", tenant=ENGINE)
    await anna.ask("because")
    for _ in range(3):
        await anna.write(lambda text: text.insert(0, "more\n"))
        await anna.settled()
    await core.outside.database.execute("UPDATE edit_room SET cutting_until = now()", tenant=ENGINE)
    await anna.until(lambda: anna.of(Saved))
    assert (await messages(core, anna.document_id))[0] == "because"


@pytest.mark.parametrize("error", [Contended("somebody was faster"), DatabaseSlow("it took too long")])
async def test_a_store_that_is_slow_or_busy_ends_no_room_and_refuses_no_text(
    core: Core, anna: RoomEditor, error: AutomationError
) -> None:
    anna.replica.store.before = failing("append", error)
    await anna.write(lambda text: text.insert(0, "zero\n"))
    await anna.settled()
    assert [each.reason for each in anna.of(NotSaved)] == ["STORE_AWAY"]
    anna.replica.store.before = failing("cut", error)
    await anna.ask()
    await anna.until(lambda: anna.of(Saved))
    assert {each.reason for each in anna.of(NotSaved)} == {"STORE_AWAY"}
    assert (await core.reader.document(ANNA, anna.document_id, "main")).content == "zero\none\n"


async def test_what_was_written_beside_a_room_is_brought_in_once_the_store_lets_it(
    core: Core, anna: RoomEditor
) -> None:
    anna.replica.store.before = failing("append", AWAY)
    head = await core.reader.head(BEN, anna.document_id, "main")
    await core.writer.update(
        BEN, Edit(document_id=anna.document_id, expected=head.revision_id, content="one\ntwo\n", message="beside")
    )
    await anna.until(lambda: str(anna) == "one\ntwo\n")
    assert await messages(core, anna.document_id) == ["beside", "created"]


async def test_a_text_that_was_refused_is_tried_again_when_somebody_comes(
    core: Core, replica: Replica, anna: RoomEditor
) -> None:
    await anna.write(lambda text: text.insert(0, "zero\n"))
    await anna.settled()
    head = await core.reader.head(ANNA, anna.document_id, "main")
    trashed = await core.writer.delete(ANNA, anna.document_id, "main", head.revision_id, "")
    await anna.ask()
    await anna.until(lambda: anna.of(NotSaved))
    await anna.go()
    await core.writer.restore(ANNA, Restore(document_id=anna.document_id, expected=trashed.revision_id))
    ben = RoomEditor("ben", anna.document_id, replica)
    await ben.come()
    await ben.until(lambda: ben.of(Saved))
    assert (await core.reader.document(ANNA, anna.document_id, "main")).content == "zero\none\n"


async def test_an_update_is_not_refused_for_what_others_do_to_the_program_that_holds_the_texts(
    replica: Replica, anna: RoomEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, ended = replica.texts.judge, [True] * 5

    async def judged(*update: Any, **bounds: Any) -> Sequence[Verdict]:
        if ended:  # over what somebody wrote in another room
            ended.pop()
            replica.texts.lose()
        return await judge(*update, **bounds)

    monkeypatch.setattr(replica.texts, "judge", judged)
    await anna.write(lambda text: text.insert(0, "zero\n"))
    await anna.settled()
    assert {each.reason for each in anna.of(NotSaved)} == {"STORE_AWAY"}


async def test_a_look_at_the_rights_that_fails_ends_no_stream(
    postgres: PostgresForTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with doc_core(postgres, tmp_path, editing_check_every_s=0.02) as core:
        page = await written(core, "page.md", "one\n")
        replica = Replica(core)
        anna = RoomEditor("anna", page.document_id, replica)
        await anna.come()
        errors: list[AutomationError] = [DatabaseSlow("it took too long"), Contended("somebody was faster"), AWAY]
        looked = asyncio.Event()

        async def head(*who: object) -> Head:
            if errors:
                raise errors.pop()
            looked.set()
            return page

        monkeypatch.setattr(core.reader, "head", head)
        async with asyncio.timeout(30):
            await looked.wait()
        await anna.write(lambda text: text.insert(0, "zero\n"))
        await anna.settled()
        await replica.rooms.close()
