"""When the text of an open room becomes a revision, and what its people are told of that."""

from __future__ import annotations

import asyncio
from datetime import datetime
from math import inf

from automesh.core.errors import AutomationError
from services.doc.domain.editing.audience import Audience
from services.doc.domain.editing.cutter import Cutter, Outcome
from services.doc.domain.editing.room_text import RoomText
from services.doc.domain.editing.said import Saved
from services.doc.domain.editing.session import Session

RETRY_S = 2.0


class RoomRevisions:
    """For one task at a time, while the text is in memory. What fails is due again a little later."""

    def __init__(self, text: RoomText, audience: Audience, cutter: Cutter, *, idle_s: float, longest_s: float) -> None:
        self._text, self._audience, self._cutter = text, audience, cutter
        self._idle_s, self._longest_s = idle_s, longest_s
        self._due: float | None = None
        self._uncut_since: float | None = None
        self._overdue = False
        """Its time has come: writing more does not put it off any more."""
        self._asked: set[Session] = set()
        self._message = ""
        self._told_head, self._looked_at = text.room.head, ""

    @property
    def wait_s(self) -> float:
        """How long until one is due; without end when none is."""
        return inf if self._due is None else max(self._due - _now(), 0)

    def ask(self, session: Session, message: str) -> None:
        """Somebody wants one now."""
        self._asked = {each for each in self._asked if each.open} | {session}
        self._message = message or self._message
        self._due = _now()

    def hurry(self) -> None:
        """Nobody is there to go on writing."""
        if self._due is not None:
            self._due = _now()

    def changed(self) -> None:
        """There is something to be saved, once it falls quiet."""
        if self._overdue:
            return
        if self._uncut_since is None:
            self._uncut_since = _now()
        quiet = _now() + self._idle_s if self._audience else _now()
        self._due = min(quiet, self._uncut_since + self._longest_s)

    def failed(self, error: AutomationError) -> None:
        """Nothing can be done in the room at the moment."""
        if self._due is not None and self._due <= _now():
            self._put_off()
        for session in self._asked:
            session.store_away(error)

    async def catch_up(self) -> None:
        """Reads what other replicas have written, or made a revision of."""
        if await self._text.catch_up() or (self._due is None and self._text.room.unsaved):
            self.changed()
        if not self._text.room.uncut and self._text.room.head != self._told_head:
            self._tell_saved(self._text.room.head, self._text.room.updated_at)

    async def cut(self) -> None:
        """Of all that is in the room now."""
        self._overdue = True
        await self.catch_up()
        if not self._text.room.uncut:
            self._answer()
        elif not await self._cut():
            self._put_off()

    async def follow_head(self) -> None:
        """Brings in what was written beside the room, where nothing in it waits to be saved."""
        if self._text.room.uncut:
            return
        head = await self._cutter.head(self._text.room)
        if head not in {self._text.room.head, self._looked_at} and await self._cut():
            self._looked_at = head

    async def _cut(self) -> bool:
        """Whether it is decided: saved, or refused."""
        try:
            outcome = await self._cutter.cut(self._text.room, self._message)
        except AutomationError:
            self._text.doubt()
            raise
        return outcome is not None and self._told(outcome)

    def _told(self, outcome: Outcome) -> bool:
        for update in outcome.brought_in:
            self._audience.tell_update(update)
        self._text.moved(outcome.room, outcome.seen)
        if outcome.saved and outcome.time is not None:
            self._tell_saved(outcome.saved, outcome.time)
        elif outcome.refused is not None:
            self._audience.tell_refused(*outcome.refused)
        else:
            return False
        self._decided()
        return True

    def _answer(self) -> None:
        """There is nothing that is in no revision."""
        for session in self._asked:
            session.tell(Saved(self._text.room.head, self._text.room.updated_at))
        self._decided()

    def _decided(self) -> None:
        self._due = self._uncut_since = None
        self._overdue, self._message = False, ""
        self._asked.clear()
        if self._text.room.unsaved:  # others have gone on meanwhile
            self.changed()

    def _put_off(self) -> None:
        self._overdue, self._due = True, _now() + RETRY_S

    def _tell_saved(self, revision_id: str, time: datetime) -> None:
        self._told_head = revision_id
        self._audience.tell_saved(revision_id, time)


def _now() -> float:
    return asyncio.get_running_loop().time()
