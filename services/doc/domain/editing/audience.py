"""Who is in a room through this replica, and what all of them are told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from automesh.core.errors import AutomationError
from services.doc.domain.editing.ports import Hint, RoomWire
from services.doc.domain.editing.presences import Presences
from services.doc.domain.editing.said import PresenceOf, Saved, Theirs
from services.doc.domain.editing.session import Session


class Audience:
    """The sessions of a room; their presences are told to other replicas, too."""

    def __init__(self, room_id: str, wire: RoomWire) -> None:
        self._room_id, self._wire = room_id, wire
        self._sessions: dict[str, Session] = {}
        self._elsewhere = Presences()

    def __bool__(self) -> bool:
        return bool(self._sessions)

    @property
    def people(self) -> Sequence[Session]:
        """Everybody here."""
        return list(self._sessions.values())

    async def enter(self, session: Session) -> None:
        """Is told who is there, and told everything from now on."""
        for there in (*self._elsewhere.all(), *(each.presence for each in self.people if each.presence)):
            session.tell(there)
        self._sessions[session.session_id] = session
        await self._wire.say(self._room_id, Hint(hello=True))

    def forget(self, session: Session) -> None:
        """Is told nothing any more."""
        self._sessions.pop(session.session_id, None)

    async def leave(self, session: Session) -> None:
        """The others see it."""
        self.forget(session)
        there, session.presence = session.presence, None
        if there is not None:
            await self._tell_presence(PresenceOf(there.user, there.client, b"", gone=True), session)

    async def show(self, session: Session, state: bytes) -> None:
        """Where somebody is."""
        session.presence = PresenceOf(session.person.user, session.session_id, state)
        await self._tell_presence(session.presence, session)

    async def show_all(self) -> None:
        """Tells other replicas who is here."""
        for session in self.people:
            if session.presence is not None:
                await self._wire.say(self._room_id, Hint(presence=session.presence))

    def seen_elsewhere(self, there: PresenceOf) -> None:
        """Another replica says so."""
        self._elsewhere.note(there, asyncio.get_running_loop().time())
        self.tell(there)

    def look_around(self) -> None:
        """Those of other replicas that were not heard of for long have left."""
        for left in self._elsewhere.stale(asyncio.get_running_loop().time()):
            self.tell(left)

    def tell(self, said: Theirs | Saved | PresenceOf, but: Session | None = None) -> None:
        """Everybody; `but` not who has said it."""
        for session in self.people:
            if session is not but:
                session.tell(said)

    def tell_update(self, update: bytes) -> None:
        """That came from elsewhere."""
        self.tell(Theirs(update))

    def tell_saved(self, revision_id: str, time: datetime) -> None:
        """A revision was cut."""
        self.tell(Saved(revision_id, time))

    def tell_refused(self, reason: str, message: str) -> None:
        """No revision could be cut."""
        for session in self.people:
            session.not_saved(reason, message)

    def end(self, error: AutomationError) -> None:
        """All streams."""
        for session in self.people:
            session.end(error)
        self._sessions.clear()

    async def _tell_presence(self, there: PresenceOf, session: Session) -> None:
        self.tell(there, but=session)
        await self._wire.say(self._room_id, Hint(presence=there))
