"""Rooms without a wire around them: editors that write, leave and come back, and a store that can be away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pycrdt import Doc, Text

from automesh.core.errors import AutomationError, Unavailable
from services.doc.domain.editing.live_room import LiveRoom
from services.doc.domain.editing.rooms import EditingRooms
from services.doc.domain.editing.said import Acknowledged, NotSaved, Said, Saved, Theirs
from services.doc.domain.editing.session import Session
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.space import MAIN
from services.doc.editing.inline import InlineTexts
from services.doc.engine.core import Core
from services.doc.engine.editing import make_rooms
from services.doc.store.editing import SqlRoomStore

LIMIT_S = 30.0
S = TypeVar("S", bound=Said)


class LamedStore(SqlRoomStore):
    """Away while `away`; `before` and `after_` are called with the name of what is done."""

    away = False

    def __init__(self, core: Core) -> None:
        super().__init__(core.outside.database, core.outside.sealer)
        self.before: Callable[[str], None] = lambda name: None
        self.after_: Callable[[str], None] = lambda name: None

    async def append(self, *args: Any, **options: Any) -> Any:
        return await self._lamed("append", super().append(*args, **options))

    async def cut(self, *args: Any, **options: Any) -> Any:
        return await self._lamed("cut", super().cut(*args, **options))

    async def after(self, *args: Any, **options: Any) -> Any:
        return await self._lamed("after", super().after(*args, **options))

    async def _lamed(self, name: str, do: Any) -> Any:
        try:
            if self.away:
                raise Unavailable("the database is away")
            self.before(name)
        except BaseException:
            do.close()
            raise
        done = await do
        self.after_(name)
        return done


class Replica:
    """Rooms, as one process has them."""

    def __init__(self, core: Core) -> None:
        self.core, self.store, self.texts = core, LamedStore(core), InlineTexts()
        self.rooms: EditingRooms = make_rooms(core, self.store, self.texts)


class RoomEditor:
    """Somebody with a document of Yjs of their own."""

    def __init__(self, user: str, document_id: str, replica: Replica) -> None:
        self.person = Person(tenant_id="default", user=user)
        self.document_id, self.replica = document_id, replica
        self.doc: Doc[Text] = Doc()
        self.text = self.doc.get("content", type=Text)
        self.told: list[Said] = []
        self.pending: dict[int, bytes] = {}
        self.number = 0
        self.error: AutomationError | None = None
        self._live: LiveRoom | None = None
        self._session: Session | None = None
        self._reader: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def __str__(self) -> str:
        return str(self.text)

    @property
    def here(self) -> bool:
        return self._live is not None

    async def come(self, replica: Replica | None = None) -> None:
        """With what one has; what was not acknowledged is sent again."""
        self.replica = replica or self.replica
        vector = self.doc.get_state() if self.number or self.told else b""
        self._live, self._session, joined = await self.replica.rooms.join(self.person, self.document_id, MAIN, vector)
        self.doc.apply_update(joined.update)
        self.told.append(joined)
        self._reader = asyncio.create_task(self._read(self._session))
        for number, update in list(self.pending.items()):
            await self._live.write(self._session, number, update)

    async def go(self) -> None:
        if self._live is not None and self._session is not None and self._reader is not None:
            await self.replica.rooms.leave(self._live, self._session)
            await self._reader
            self._live = None

    def change(self, do: Callable[[Text], Any]) -> None:
        """Only here, so far."""
        before = self.doc.get_state()
        with self.doc.transaction():
            do(self.text)
        self.number += 1
        self.pending[self.number] = self.doc.get_update(before)

    async def write(self, do: Callable[[Text], Any]) -> None:
        self.change(do)
        if self._live is not None and self._session is not None:
            await self._live.write(self._session, self.number, self.pending[self.number])

    async def ask(self, message: str = "") -> None:
        """For a revision."""
        assert self._live is not None and self._session is not None  # noqa: PT018
        await self._live.save(self._session, message)

    async def save(self) -> str:
        """The revision; fails when it is refused."""
        before = len(self.told)
        await self.ask()
        await self.until(lambda: any(isinstance(each, Saved | NotSaved) for each in self.told[before:]))
        (said, *_) = [each for each in self.told[before:] if isinstance(each, Saved | NotSaved)]
        assert isinstance(said, Saved), said
        return said.revision_id

    def of(self, kind: type[S]) -> list[S]:
        """What was told of this kind."""
        return [each for each in self.told if isinstance(each, kind)]

    async def settled(self) -> None:
        await self.until(lambda: not self.pending)

    async def until(self, check: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not check():
                if self.error is not None:
                    raise self.error
                self._changed.clear()
                await self._changed.wait()

    async def told_more_than(self, count: int) -> None:
        await self.until(lambda: len(self.told) > count)

    async def _read(self, session: Session) -> None:
        try:
            async for said in session.said():
                if isinstance(said, Theirs):
                    self.doc.apply_update(said.update)
                elif isinstance(said, Acknowledged):
                    self.pending = {n: update for n, update in self.pending.items() if n > said.number}
                self.told.append(said)
                self._changed.set()
        except AutomationError as error:
            self.error = error
            self._changed.set()


async def together(editors: Sequence[RoomEditor]) -> None:
    """Until all read the same."""
    for editor in editors:
        await editor.settled()
    async with asyncio.timeout(LIMIT_S):
        while len({str(editor) for editor in editors}) > 1:
            # How much was told is counted with the texts: what is told before the tasks start must not be missed.
            waits = [asyncio.create_task(editor.told_more_than(len(editor.told))) for editor in editors]
            done, others = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in others:
                wait.cancel()
            await asyncio.gather(*done)
