"""The rooms that are open in this replica, and the way into them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from automesh.core.errors import AutomationError, Unavailable, ValidationError
from services.doc.domain.documents.document import MAX_MESSAGE
from services.doc.domain.documents.reader import DocumentReader
from services.doc.domain.editing.errors import RoomGone, RoomsFull, began_anew, passes
from services.doc.domain.editing.live_room import Ground, LiveRoom
from services.doc.domain.editing.room import MAX_PRESENCE, NewRoom, Room
from services.doc.domain.editing.said import Joined
from services.doc.domain.editing.session import Session
from services.doc.domain.errors import DocumentTrashed
from services.doc.domain.spaces.access import Person, check_unprotected
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MemberRole

MAX_ROOMS, MAX_PEOPLE = 200, 100
FOUNDERS = 2**32
"""Client ids of Yjs that every client can take."""
AT_ONCE = 5
"""Rooms that are left with something uncut and are opened together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Durations of rooms."""

    check_every_s: float
    """The right to write is looked at again so often."""
    quiet_for: timedelta
    """A room that nobody has open is cut after so long."""
    unused_for: timedelta
    worn_for: timedelta
    """Rooms are forgotten after so long; those that have grown far beyond their text sooner."""


class EditingRooms:
    """Use `close` at the end; what is uncut then, another replica or the next process cuts."""

    def __init__(
        self,
        ground: Ground,
        reader: DocumentReader,
        directory: SpaceDirectory,
        bounds: Bounds,
        *,
        make_id: Callable[[str], str],
    ) -> None:
        self._ground, self._reader, self._directory, self._bounds = ground, reader, directory, bounds
        self._make_id = make_id
        self._open: dict[str, LiveRoom] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._opening = asyncio.Lock()

    async def join(
        self, person: Person, document_id: str, branch: str, state_vector: bytes
    ) -> tuple[LiveRoom, Session, Joined]:
        """Raises DocumentNotFound, PermissionDenied, BranchProtected, RoomsFull, RoomBeganAnew, UpdateMalformed."""
        await self._allowed(person, document_id, branch)
        session = Session(self._make_id("edit"), person)
        for _ in range(2):
            live = await self._found(person, document_id, branch)
            try:
                joined = await live.join(session, state_vector)
            except RoomGone:  # forgotten at this very moment: there is a new one
                continue
            self._watchers[session.session_id] = asyncio.create_task(
                self._watch(session, document_id, branch), name=f"watch {session.session_id}"
            )
            return live, session, joined
        raise Unavailable("the room has just been closed: join again")

    async def leave(self, live: LiveRoom, session: Session) -> None:
        """Whatever was written is kept."""
        watcher = self._watchers.pop(session.session_id, None)
        if watcher is not None:
            watcher.cancel()
        session.end()
        await live.leave(session)

    async def settle(self) -> int:
        """Cuts what a process that is gone has left uncut; how many rooms."""
        left = await self._ground.store.left_uncut(self._bounds.quiet_for, AT_ONCE)
        for room in left:
            if room.room_id not in self._open and len(self._open) < MAX_ROOMS:
                self._start(room)
        return len(left)

    async def forget(self) -> int:
        """Removes rooms that nobody uses (a bounded number at once); how many."""
        return await self._ground.store.forget(self._bounds.unused_for, self._bounds.worn_for, 100)

    async def close(self) -> None:
        """Ends all streams."""
        tasks = [*self._tasks.values(), *self._watchers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def open(self) -> Sequence[LiveRoom]:
        """Those that are open here."""
        return list(self._open.values())

    async def _allowed(self, person: Person, document_id: str, branch: str) -> None:
        head = await self._reader.head(person, document_id, branch, MemberRole.WRITER)
        space = await self._directory.find(person, head.space, MemberRole.WRITER)
        check_unprotected(space, branch, "edit together on a branch")
        if head.deleted_at is not None:
            raise DocumentTrashed(f"{head.path!r} is in the trash: restore it first", documentId=document_id)

    async def _found(self, person: Person, document_id: str, branch: str) -> LiveRoom:
        async with self._opening:
            room = await self._ground.store.find(person.tenant_id, document_id, branch)
            if room is None:
                room = await self._founded(person, document_id, branch)
            live = self._open.get(room.room_id)
            if live is None:
                if len(self._open) >= MAX_ROOMS:
                    raise RoomsFull(
                        f"{MAX_ROOMS} documents are edited here at once already", retry_after=timedelta(seconds=30)
                    )
                live = self._start(room)
            elif len(live.people) >= MAX_PEOPLE:
                raise RoomsFull(f"{MAX_PEOPLE} people are in this room already", retry_after=timedelta(seconds=30))
            return live

    async def _founded(self, person: Person, document_id: str, branch: str) -> Room:
        document = await self._reader.document(person, document_id, branch)
        new = NewRoom(
            room_id=self._make_id("room"),
            tenant_id=person.tenant_id,
            document_id=document_id,
            branch=branch,
            founder=secrets.randbelow(FOUNDERS - 1) + 1,
            head=document.head.revision_id,
        )
        first = await self._ground.texts.begin(document.content, new.founder)
        try:
            return await self._ground.store.open(new, first)
        except RoomGone as error:
            raise began_anew() from error

    def _start(self, room: Room) -> LiveRoom:
        live = LiveRoom(room, self._ground)
        self._open[room.room_id] = live

        def gone() -> None:
            self._open.pop(room.room_id, None)
            self._tasks.pop(room.room_id, None)

        self._tasks[room.room_id] = asyncio.create_task(live.run(gone), name=f"room {room.room_id}")
        return live

    async def _watch(self, session: Session, document_id: str, branch: str) -> None:
        """Ends the stream of somebody who may not write here any more."""
        while session.open:
            await asyncio.sleep(self._bounds.check_every_s)
            try:
                await self._allowed(session.person, document_id, branch)
            except DocumentTrashed:
                pass  # told when a revision is cut
            except AutomationError as error:
                if not passes(error):
                    session.end(error)


def check_presence(state: bytes) -> bytes:
    """Raises ValidationError for one that is too large."""
    if len(state) > MAX_PRESENCE:
        raise ValidationError(f"a presence has at most {MAX_PRESENCE} bytes", field="presence.state")
    return state


def check_message(message: str) -> str:
    """Raises ValidationError for a message that no revision can have."""
    if len(message) > MAX_MESSAGE or "\x00" in message:
        raise ValidationError(f"a message has at most {MAX_MESSAGE} characters, none of them NUL", field="save.message")
    return message
