"""One room in two replicas: each has everything in memory up to where it says so, whatever the other does meanwhile."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Text

from automesh.testing.postgres import PostgresForTests
from services.doc.domain.editing.room import NewRoom, Room
from services.doc.domain.editing.room_text import RoomText
from services.doc.editing.inline import InlineTexts
from services.doc.editing.shared_text import begin
from services.doc.engine.core import Core
from services.doc.store.editing import SqlRoomStore
from tests.integration.doc.doc_house_core import doc_core, written

pytestmark = pytest.mark.postgres
FOUNDER = 7


async def nothing() -> None:
    pass


class Interrupted(SqlRoomStore):
    """Something happens right after updates were made durable."""

    def __init__(self, core: Core) -> None:
        super().__init__(core.outside.database, core.outside.sealer)
        self.meanwhile: Callable[[], Awaitable[None]] = nothing

    async def append(self, *args: Any, **options: Any) -> Room:
        room = await super().append(*args, **options)
        await self.meanwhile()
        return room


class Copy:
    """The text of the room in one replica, and what its people were told."""

    def __init__(self, core: Core, room: Room) -> None:
        self.store, self.texts = Interrupted(core), InlineTexts()
        self.told: Doc[Text] = Doc()
        self.told.apply_update(begin("start", FOUNDER))
        self.room_text = RoomText(room, self.store, self.texts, self.told.apply_update, max_bytes=1000)

    async def write(self, text: str) -> None:
        doc: Doc[Text] = Doc()
        doc.get("content", type=Text).insert(0, text)
        await self.room_text.loaded(lambda: self.room_text.keep([doc.get_update()], ["anna"]))

    async def catch_up(self) -> None:
        await self.room_text.loaded(self.room_text.catch_up)

    async def squash(self) -> None:
        room = self.room_text.room
        snapshot = await self.texts.snapshot(room.room_id)
        await self.store.squash(room.tenant_id, room.room_id, self.room_text.seen, snapshot)

    async def text(self) -> str:
        return await self.texts.text(self.room_text.room.room_id)

    @property
    def heard(self) -> str:
        return str(self.told.get("content", type=Text))


async def copies(core: Core) -> tuple[Copy, Copy]:
    """Of a new room, in two replicas."""
    head = await written(core, "page.md", "start")
    new = NewRoom(
        room_id="room_1", tenant_id="default", document_id=head.document_id, branch="main", founder=FOUNDER,
        head=head.revision_id,
    )  # fmt: skip
    room = await SqlRoomStore(core.outside.database, core.outside.sealer).open(new, begin("start", FOUNDER))
    here, there = Copy(core, room), Copy(core, room)
    await here.catch_up()
    await there.catch_up()
    return here, there


@pytest.mark.parametrize("later", ["", "later "], ids=["all", "all and more"])
async def test_what_another_replica_brings_together_while_one_writes_is_seen_by_both(
    postgres: PostgresForTests, tmp_path: Path, later: str
) -> None:
    async with doc_core(postgres, tmp_path) as core:
        here, there = await copies(core)

        async def meanwhile() -> None:
            await there.catch_up()
            if later:
                await there.write(later)
            await there.squash()

        await there.write("theirs ")
        here.store.meanwhile = meanwhile
        await here.write("mine ")
        await here.catch_up()
        assert sorted((await here.text()).replace("start", "").split()) == sorted(["mine", "theirs", *later.split()])
        assert "theirs" in here.heard
        await here.squash()  # what stands for all now still has everything
        late = Copy(core, here.room_text.room)
        await late.catch_up()
        assert await late.text() == await here.text() == await there.text()
