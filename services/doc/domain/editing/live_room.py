"""A room that is open in this replica. One task does everything in it, in order; all others put things into its box."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from automesh.core.backoff import Backoff
from automesh.core.errors import AutomationError, Unavailable
from services.doc.domain.editing.audience import Audience
from services.doc.domain.editing.box import Asked, Box, Coming, Hinted, Written
from services.doc.domain.editing.cutter import Cutter
from services.doc.domain.editing.errors import RoomGone, UpdateMalformed, began_anew, passes
from services.doc.domain.editing.ports import Hint, RoomStore, RoomWire, SharedTexts, Verdict
from services.doc.domain.editing.room import MAX_UPDATE, Room
from services.doc.domain.editing.room_revisions import RoomRevisions
from services.doc.domain.editing.room_text import RoomText
from services.doc.domain.editing.said import Acknowledged, Joined, Theirs
from services.doc.domain.editing.session import Session

TICK_S, FOLLOW_EVERY_S, STAY_EVERY_S = 1.0, 3.0, 10.0
TOLD = {
    Verdict.TOO_LARGE: "the page would be larger than is allowed (doc_max_page_bytes): take it back, or divide it",
    Verdict.HISTORY_FULL: "the room remembers too many changes: when all have left it for ten minutes it begins anew",
    Verdict.TOO_COSTLY: "this update takes too long to bring in: take it back, and write in smaller steps",
    Verdict.OUT_OF_ORDER: "this update builds on one that is not here: join again with your state vector",
}
MALFORMED = "these bytes are no update of Yjs (version 1), or one that writes more than characters: send plain text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What rooms stand on. A revision is cut after `idle_s` without an update, and `longest_s` after the first."""

    store: RoomStore
    texts: SharedTexts
    wire: RoomWire
    cutter: Cutter
    max_page_bytes: int
    idle_s: float
    longest_s: float
    trouble: Callable[[str, Exception], None]
    """Told of a room that has to wait, or that failed; for the log."""


class LiveRoom:
    """Use `run` in a task of its own; it ends when everybody has left and all is saved."""

    def __init__(self, room: Room, ground: Ground) -> None:
        self._ground = ground
        self._audience = Audience(room.room_id, ground.wire)
        self._text = RoomText(
            room, ground.store, ground.texts, self._audience.tell_update, max_bytes=ground.max_page_bytes
        )
        self._box = Box()
        self._entering: set[asyncio.Future[Joined]] = set()
        self._revisions = RoomRevisions(
            self._text, self._audience, ground.cutter, idle_s=ground.idle_s, longest_s=ground.longest_s
        )
        self._hinted = False
        self._ticked = self._followed = self._stayed = 0.0

    @property
    def room(self) -> Room:
        """As it is kept."""
        return self._text.room

    @property
    def people(self) -> Sequence[Session]:
        """Who is in it here."""
        return self._audience.people

    # ------------------------------------------------------------------ what people do
    async def join(self, session: Session, state_vector: bytes) -> Joined:
        """Raises UpdateMalformed, RoomBeganAnew, RoomGone, Unavailable."""
        coming = Coming(session, state_vector, asyncio.get_running_loop().create_future())
        self._entering.add(coming.joined)
        self._box.put(coming)
        try:
            return await coming.joined
        except asyncio.CancelledError:  # perhaps at the very moment of entering
            self._audience.forget(session)
            raise
        finally:
            self._entering.discard(coming.joined)

    async def write(self, session: Session, number: int, update: bytes) -> None:
        """Waits while too much waits already. Raises ValidationError for a number that does not count on."""
        session.count_on(number)
        if len(update) > MAX_UPDATE:
            session.not_saved(Verdict.TOO_LARGE, f"one update has at most {MAX_UPDATE} bytes: send smaller ones")
            return
        await self._box.bring(Written(session, number, update))

    async def save(self, session: Session, message: str) -> None:
        """A revision now. Waits, too."""
        await self._box.bring(Asked(session, message))

    async def show(self, session: Session, state: bytes) -> None:
        """Where somebody is."""
        await self._audience.show(session, state)

    async def leave(self, session: Session) -> None:
        """Their updates are kept all the same; when the last one leaves, a revision is cut."""
        self._audience.forget(session)
        if not self._audience:
            self._revisions.hurry()
        await self._audience.leave(session)

    # ------------------------------------------------------------------ the one task
    async def run(self, gone: Callable[[], None]) -> None:
        """`gone` is called at the moment from which nobody may enter any more."""
        end: AutomationError = Unavailable("the room is closed here: join again")
        listening = asyncio.create_task(self._listen(), name=f"listen {self.room.room_id}")
        try:
            while self._needed():
                await self._turn()
        except RoomGone:
            end = began_anew()
        except Exception as error:
            self._ground.trouble(self.room.room_id, error)
        finally:
            gone()
            self._end_all(end)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await self._text.drop()

    def _needed(self) -> bool:
        return bool(self._audience) or bool(self._box) or self.room.unsaved

    def _end_all(self, error: AutomationError) -> None:
        self._audience.end(error)
        for joined in self._entering:
            if not joined.done():
                joined.set_exception(error)

    async def _turn(self) -> None:
        match await self._box.take(min(self._revisions.wait_s, TICK_S)):
            case Coming() as coming:
                await self._let_in(coming)
            case list() as batch:
                await self._take(batch)
            case Asked() as asked:
                self._revisions.ask(asked.session, asked.message)
            case Hinted():
                self._hinted = False
                await self._guarded(self._revisions.catch_up)
        if _now() - self._ticked >= TICK_S:
            self._ticked = _now()
            await self._guarded(self._tick)
        if self._revisions.wait_s == 0:
            await self._guarded(self._revisions.cut)

    async def _guarded(self, do: Callable[[], Awaitable[None]]) -> None:
        """What fails is done again later; only a room that is gone ends it."""
        try:
            await self._text.loaded(do)
        except RoomGone:
            raise
        except AutomationError as error:
            self._ground.trouble(self.room.room_id, error)
            self._revisions.failed(error)

    async def _tick(self) -> None:
        self._audience.look_around()
        await self._revisions.catch_up()
        if not self._audience:
            return
        if _now() - self._followed >= FOLLOW_EVERY_S:
            self._followed = _now()
            await self._revisions.follow_head()
        if _now() - self._stayed >= STAY_EVERY_S:
            self._stayed = _now()
            await self._ground.store.touch(self.room.tenant_id, self.room.room_id)
            await self._audience.show_all()

    # ------------------------------------------------------------------ people
    async def _let_in(self, coming: Coming) -> None:
        try:
            joined = await self._text.loaded(lambda: self._enter(coming.session, coming.state_vector))
        except AutomationError as error:
            self._audience.forget(coming.session)
            if not coming.joined.done():
                coming.joined.set_exception(error)
            if isinstance(error, RoomGone):
                raise
        else:
            if coming.joined.done():  # whoever asked is gone
                self._audience.forget(coming.session)
            else:
                coming.joined.set_result(joined)

    async def _enter(self, session: Session, state_vector: bytes) -> Joined:
        await self._revisions.catch_up()
        await self._revisions.follow_head()
        standing = await self._text.standing(state_vector)
        if self.room.refused:
            session.not_saved(self.room.refused_reason, self.room.refused_message)
            self._revisions.ask(session, "")  # what stood against it may have been mended elsewhere
        await self._audience.enter(session)
        return Joined(standing.update, self.room.head, standing.state_vector)

    # ------------------------------------------------------------------ updates
    async def _take(self, batch: Sequence[Written]) -> None:
        """Judged, made durable, told to the others, acknowledged. Waits for the store for as long as it takes."""
        updates, authors = [each.update for each in batch], [each.session.person.user for each in batch]
        backoff = Backoff(first_s=0.1, most_s=2.0)
        verdicts: Sequence[Verdict] = ()
        while not verdicts:
            try:
                verdicts = await self._text.loaded(lambda: self._text.keep(updates, authors))
            except AutomationError as error:
                if not passes(error):
                    raise
                self._text.doubt()
                for session in {each.session for each in batch}:
                    session.store_away(error)
                await asyncio.sleep(backoff.next_s())
        for each, verdict in zip(batch, verdicts, strict=True):
            self._answer(each, verdict)
        if Verdict.TAKEN in verdicts:
            self._revisions.changed()
            await self._ground.wire.say(self.room.room_id, Hint())
            await self._guarded(self._text.squash)

    def _answer(self, written: Written, verdict: Verdict) -> None:
        session = written.session
        if verdict is Verdict.TAKEN:
            session.tell(Acknowledged(written.number))
            self._audience.tell(Theirs(written.update), but=session)
        elif verdict is Verdict.MALFORMED:
            session.end(UpdateMalformed(MALFORMED, field="update.update"))
        else:
            session.not_saved(Verdict.TOO_LARGE if verdict is Verdict.HISTORY_FULL else verdict, TOLD[verdict])

    # ------------------------------------------------------------------ what others do
    async def _listen(self) -> None:
        backoff = Backoff(first_s=0.1, most_s=5.0)
        while True:
            try:
                async with self._ground.wire.hear(self.room.room_id) as hints:
                    async for hint in hints:
                        backoff.reset()
                        await self._heard(hint)
            except Exception as error:  # whatever it is, hints must come again
                self._ground.trouble(self.room.room_id, error)
            await asyncio.sleep(backoff.next_s())

    async def _heard(self, hint: Hint) -> None:
        if hint.presence is not None:
            self._audience.seen_elsewhere(hint.presence)
        elif hint.hello:
            await self._audience.show_all()
        elif not self._hinted:
            self._hinted = True
            self._box.put(Hinted())


def _now() -> float:
    return asyncio.get_running_loop().time()
