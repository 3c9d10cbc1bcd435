"""Rooms under everything that happens to them: interleavings, reconnects, outages, lost programs, other replicas."""

import asyncio
import json
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from pycrdt import Text

from automesh.core.errors import Unavailable
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.documents.requests import Edit
from services.doc.domain.editing.said import NotSaved, PresenceOf, Saved, Theirs
from services.doc.domain.editing.session import Session
from services.doc.domain.spaces.space import NewSpace
from services.doc.engine.core import Core, Outside
from services.doc.engine.options import Options
from tests.integration.doc.doc_house_core import ANNA, BEN, doc_core, written
from tests.integration.doc.doc_house_rooms import Replica, RoomEditor, together

pytestmark = pytest.mark.postgres


@pytest.fixture
async def core(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Core]:
    async with doc_core(postgres, tmp_path, editing_idle_s=600, editing_check_every_s=600) as core:
        yield core


@pytest.fixture
async def replica(core: Core) -> AsyncIterator[Replica]:
    replica = Replica(core)
    yield replica
    await replica.rooms.close()


async def content(core: Core, document_id: str) -> str:
    return (await core.reader.document(ANNA, document_id, "main")).content


def change(chance: random.Random, text: Text) -> None:
    """Writes or deletes somewhere."""
    characters = str(text)
    at = chance.randint(0, len(characters))
    place = len(characters[:at].encode())
    if chance.random() < 0.3 and characters:
        end = min(len(characters), at + chance.randint(1, 12))
        del text[place : len(characters[:end].encode())]
    else:
        text.insert(place, chance.choice(["a", "word ", "\n", "😀", "- item\n", "x" * 50]))


async def mishap(chance: random.Random, editor: RoomEditor, replica: Replica) -> None:
    """Mostly somebody writes."""
    match chance.randrange(12):
        case 0 if editor.here:
            await editor.go()
        case 1 if not editor.here:
            with suppress(Unavailable):  # tried again later
                await editor.come(replica)
        case 2:
            replica.texts.lose()
        case 3:
            replica.store.away = True
            asyncio.get_running_loop().call_later(0.05, setattr, replica.store, "away", False)
        case 4 if editor.here:
            await editor.settled()
        case _:
            await editor.write(lambda text: change(chance, text))


@pytest.mark.parametrize("seed", range(6))
async def test_any_interleaving_of_editors_and_mishaps_converges_and_is_what_is_saved(core: Core, seed: int) -> None:
    chance = random.Random(seed)
    replicas = [Replica(core), Replica(core)]
    head = await written(core, "page.md", "".join(f"line {number} äö😀\n" for number in range(20)))
    editors = [RoomEditor(user, head.document_id, chance.choice(replicas)) for user in ("anna", "ben", "carl", "dora")]

    for editor in editors:
        await editor.come()
    for _ in range(120):
        await mishap(chance, chance.choice(editors), chance.choice(replicas))
    for each in replicas:
        each.store.away = False
    for editor in editors:
        if not editor.here:
            await editor.come()
    await together(editors)
    await editors[0].save()
    assert await content(core, head.document_id) == str(editors[0])
    for each in replicas:
        await each.rooms.close()


async def test_ten_thousand_updates_leave_a_small_room(core: Core, replica: Replica) -> None:
    head = await written(core, "page.md", "")
    anna = RoomEditor("anna", head.document_id, replica)
    await anna.come()
    for number in range(10_000):
        await anna.write(lambda text, number=number: text.insert(number, "x"))  # type: ignore[misc]  # the default of a lambda has no type
    await anna.settled()
    await anna.save()
    rows, size = await core.outside.database.fetchrow(  # type: ignore[misc]  # there is a row
        "SELECT count(*), sum(length(bytes)) FROM edit_update", tenant=ENGINE
    )
    assert rows <= 501
    assert size < 100_000  # the text itself has 10,000 bytes
    ben = RoomEditor("ben", head.document_id, replica)
    await ben.come()
    assert str(ben) == "x" * 10_000


async def test_while_the_store_is_away_nothing_is_acknowledged_and_afterwards_all_is(
    core: Core, replica: Replica
) -> None:
    head = await written(core, "page.md", "one\n")
    anna, ben = (RoomEditor(user, head.document_id, replica) for user in ("anna", "ben"))
    await anna.come()
    await ben.come()
    replica.store.away = True
    await anna.write(lambda text: text.insert(0, "zero\n"))
    await anna.until(lambda: any(isinstance(each, NotSaved) for each in anna.told))
    (told,) = [each for each in anna.told if isinstance(each, NotSaved)]
    assert (told.reason, told.retrying, told.acknowledged) == ("STORE_AWAY", True, 0)
    assert anna.pending
    assert str(ben) == "one\n"  # not seen before it is durable
    replica.store.away = False
    await together([anna, ben])
    assert str(ben) == "zero\none\n"


async def test_updates_of_somebody_who_has_left_are_kept_when_the_store_comes_back(
    core: Core, replica: Replica
) -> None:
    head = await written(core, "page.md", "one\n")
    anna = RoomEditor("anna", head.document_id, replica)
    await anna.come()
    replica.store.away = True
    await anna.write(lambda text: text.insert(0, "zero\n"))
    await anna.until(lambda: any(isinstance(each, NotSaved) for each in anna.told))
    await anna.go()
    replica.store.away = False
    async with asyncio.timeout(30):
        while await content(core, head.document_id) != "zero\none\n":
            await core.doorbell.wait(core.doorbell.rung, 0.1)


async def test_a_revision_whose_maker_died_before_saying_so_is_not_made_twice(core: Core, replica: Replica) -> None:
    head = await written(core, "page.md", "one\ntwo\nthree\n")
    anna = RoomEditor("anna", head.document_id, replica)
    await anna.come()
    await anna.write(lambda text: text.insert(0, "zero\n"))
    await anna.settled()
    failures = iter([Unavailable("gone")])

    def fail(name: str) -> None:
        if name == "cut" and (error := next(failures, None)) is not None:
            raise error

    replica.store.before = fail
    with pytest.raises(AssertionError, match="STORE_AWAY"):
        await anna.save()
    assert await content(core, head.document_id) == "zero\none\ntwo\nthree\n"  # made, but nobody knows
    # somebody goes on from it in the ordinary way, and in the room they go on as well
    now = await core.reader.head(BEN, head.document_id, "main")
    await core.writer.update(
        BEN, Edit(document_id=head.document_id, expected=now.revision_id, content="zero\none\ntwo\nthree\nfour\n")
    )
    await anna.write(lambda text: text.insert(0, "minus one\n"))
    await anna.settled()
    await anna.save()
    assert await content(core, head.document_id) == "minus one\nzero\none\ntwo\nthree\nfour\n"
    listed = await core.reader.revisions(ANNA, head.document_id, "main", author="", limit=50, after="")
    assert [each.author for each in listed] == ["anna", "ben", "anna", "anna"]


async def test_two_replicas_share_a_room_and_make_one_revision(core: Core) -> None:
    one, two = Replica(core), Replica(core)
    head = await written(core, "page.md", "start\n")
    anna, ben = RoomEditor("anna", head.document_id, one), RoomEditor("ben", head.document_id, two)
    await anna.come()
    await ben.come()
    await anna.write(lambda text: text.insert(0, "anna\n"))
    await ben.write(lambda text: text.insert(len(text), "ben\n"))
    await together([anna, ben])
    assert str(anna) == "anna\nstart\nben\n"
    revisions = await asyncio.gather(anna.save(), ben.save(), return_exceptions=True)
    made = [each for each in revisions if isinstance(each, str)]
    assert made
    await anna.until(lambda: any(isinstance(each, Saved) for each in anna.told))
    await ben.until(lambda: any(isinstance(each, Saved) for each in ben.told))
    listed = await core.reader.revisions(ANNA, head.document_id, "main", author="", limit=50, after="")
    assert len(listed) == 2
    assert {listed[0].author, *listed[0].co_authors} == {"anna", "ben"}
    for each in (one, two):
        await each.rooms.close()


async def test_what_a_dead_process_has_left_is_cut_by_another(core: Core) -> None:
    one, two = Replica(core), Replica(core)
    head = await written(core, "page.md", "start\n")
    anna = RoomEditor("anna", head.document_id, one)
    await anna.come()
    await anna.write(lambda text: text.insert(0, "kept\n"))
    await anna.settled()
    await one.rooms.close()  # as when it is killed: nothing is cut on the way out
    assert await content(core, head.document_id) == "start\n"
    assert await two.rooms.settle() == 0  # it has not been quiet for long enough
    await core.outside.database.execute("UPDATE edit_room SET updated_at = now() - interval '1 day'", tenant=ENGINE)
    assert await two.rooms.settle() == 1
    async with asyncio.timeout(30):
        while await content(core, head.document_id) != "kept\nstart\n" or two.rooms.open:
            await core.doorbell.wait(core.doorbell.rung, 0.1)
    await core.outside.database.execute("UPDATE edit_room SET updated_at = now() - interval '2 days'", tenant=ENGINE)
    assert await two.rooms.forget() == 1
    assert await core.outside.database.fetchval("SELECT count(*) FROM edit_room", tenant=ENGINE) == 0
    await two.rooms.close()


async def test_a_text_that_the_space_refuses_stays_in_the_room_with_the_reason(core: Core, replica: Replica) -> None:
    head = await written(core, "page.md", "start\n")
    anna = RoomEditor("anna", head.document_id, replica)
    await anna.come()
    await anna.write(lambda text: text.insert(0, "---\ntitle: [broken\n---\n"))
    with pytest.raises(AssertionError, match="front matter"):
        await anna.save()
    assert await content(core, head.document_id) == "start\n"
    await anna.write(lambda text: text.__delitem__(slice(0, len("---\ntitle: [broken\n---\n"))))
    await anna.write(lambda text: text.insert(0, "better "))
    await anna.save()
    assert await content(core, head.document_id) == "better start\n"


async def test_a_document_in_the_trash_keeps_the_text_in_the_room(core: Core, replica: Replica) -> None:
    head = await written(core, "page.md", "start\n")
    anna = RoomEditor("anna", head.document_id, replica)
    await anna.come()
    await anna.write(lambda text: text.insert(0, "late "))
    await anna.settled()
    await core.writer.delete(ANNA, head.document_id, "main", head.revision_id, "")
    with pytest.raises(AssertionError, match="DOCUMENT_TRASHED"):
        await anna.save()
    assert str(anna) == "late start\n"


def said(session: Session) -> list[object]:
    return list(session._waiting)


async def test_who_does_not_read_is_told_that_they_are_behind_and_nothing_else() -> None:
    session = Session("edit_1", ANNA, max_waiting=10)
    for _ in range(5):
        session.tell(PresenceOf("ben", "edit_2", b"x"))  # only the latest matters
    assert len(said(session)) == 1
    for _ in range(20):
        session.tell(Theirs(b"update"))
    told = [each async for each in session.said()]
    assert [type(each) for each in told] == [NotSaved]
    assert isinstance(told[0], NotSaved)
    assert told[0].reason == "BEHIND"
    assert not session.open


PROGRAM = """
import asyncio, sys
from pathlib import Path
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from services.doc.engine.core import Core, Outside
from services.doc.engine.options import Options
from tests.integration.doc.doc_house_rooms import Replica, RoomEditor

async def main(dsn, keys, folder, document_id):
    sealer = Sealer(Keyring.from_file(Path(keys)))
    async with Database.open(dsn, schema="doc") as database:
        blobs = EncryptedBlobStore.open(Path(folder) / "blobs", sealer)
        outside = Outside(database=database, sealer=sealer, blobs=blobs, fanout=LocalFanout())
        replica = Replica(Core(outside, Options(scratch=Path(folder), editing_idle_s=0.05)))
        anna = RoomEditor("anna", document_id, replica)
        await anna.come()
        number = 0
        while True:
            number += 1
            await anna.write(lambda text: text.insert(len(text), f"<{number}>\\n"))
            if number % 7 == 0:
                await anna.settled()
                print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_every_acknowledged_update_survives_kill_9_and_becomes_a_revision(
    postgres: PostgresForTests, tmp_path: Path
) -> None:
    keyring = Keyring.generate()
    keys = tmp_path / "keys.json"
    keyring.save(keys)
    sealer = Sealer(keyring)
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
    ):
        blobs = EncryptedBlobStore.open(tmp_path / "blobs", sealer)
        outside = Outside(database=database, sealer=sealer, blobs=blobs, fanout=LocalFanout())
        core = Core(outside, Options(scratch=tmp_path / "scratch", editing_idle_s=600))
        await core.directory.create(ANNA, NewSpace(space="guides"))
        for wanted in (7, 70, 350):
            head = await written(core, f"page{wanted}.md", "start\n")
            acknowledged = await killed_after(wanted, dsn, keys, tmp_path, head.document_id)
            replica = Replica(core)
            ben = RoomEditor("ben", head.document_id, replica)
            await ben.come()
            assert "".join(f"<{number}>\n" for number in range(1, acknowledged + 1)) in str(ben)
            await ben.write(lambda text: text.insert(0, "survived\n"))
            await ben.settled()
            await database.execute("UPDATE edit_room SET cutting_until = now()", tenant=ENGINE)  # its hold runs out
            await ben.save()
            assert await content(core, head.document_id) == str(ben)
            await replica.rooms.close()


async def killed_after(wanted: int, dsn: str, keys: Path, folder: Path, document_id: str) -> int:
    """The last number that the program has told of."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, dsn, str(keys), str(folder), document_id, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    last = 0
    async with asyncio.timeout(60):
        while last < wanted:
            last = json.loads(await process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = await process.stdout.read()
        await process.wait()
    lines = [line for line in rest.split(b"\n")[:-1] if line]
    return int(lines[-1]) if lines else last
