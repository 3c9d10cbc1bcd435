"""A room that is open in this replica. One task does everything in it, in order; all others put things into its box."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from automesh.core.backoff import Backoff
from automesh.core.errors import AutomationError, Unavailable
from services.doc.domain.editing.audience import Audience
from services.doc.domain.editing.cutter import Cutter, Outcome
from services.doc.domain.editing.errors import RoomGone, UpdateMalformed, began_anew
from services.doc.domain.editing.ports import Hint, RoomStore, RoomWire, SharedTexts, Verdict
from services.doc.domain.editing.room import MAX_UPDATE, Room
from services.doc.domain.editing.room_text import RoomText
from services.doc.domain.editing.said import Acknowledged, Joined, Saved, Theirs
from services.doc.domain.editing.session import Session
from services.doc.domain.editing.waiting import WaitingRoom

MAX_BATCH = 200
TICK_S, FOLLOW_EVERY_S, STAY_EVERY_S = 1.0, 3.0, 10.0
RETRY_CUT_S = 2.0
TOLD = {
    Verdict.TOO_LARGE: "the page would be larger than is allowed (doc_max_page_bytes): take it back, or divide it",
    Verdict.HISTORY_FULL: "the room remembers too many changes: when all have left it for ten minutes it begins anew",
    Verdict.TOO_COSTLY: "this update takes too long to bring in: take it back, and write in smaller steps",
    Verdict.OUT_OF_ORDER: "this update builds on one that is not here: join again with your state vector",
}


@dataclass(frozen=True, slots=True)
class Written:
    """Somebody's update."""

    session: Session
    number: int
    update: bytes


Job = Written | Callable[[], Awaitable[None]]


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
        self._box: asyncio.Queue[Job] = asyncio.Queue()
        self._waiting = WaitingRoom()
        self._next: Job | None = None
        self._entering: set[asyncio.Future[Joined]] = set()
        self._due: float | None = None
        self._uncut_since: float | None = None
        self._looked_at, self._hinted, self._told_head = "", False, room.head
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
        done: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        self._entering.add(done)

        async def enter() -> None:
            try:
                joined = await self._text.loaded(lambda: self._enter(session, state_vector))
            except AutomationError as error:
                self._audience.forget(session)
                if not done.done():
                    done.set_exception(error)
                if isinstance(error, RoomGone):
                    raise
            else:
                if done.done():  # whoever asked is gone
                    self._audience.forget(session)
                else:
                    done.set_result(joined)

        self._box.put_nowait(enter)
        try:
            return await done
        except asyncio.CancelledError:  # perhaps at the very moment of entering
            self._audience.forget(session)
            raise
        finally:
            self._entering.discard(done)

    async def write(self, session: Session, number: int, update: bytes) -> None:
        """Waits while too much waits already."""
        if len(update) > MAX_UPDATE:
            session.not_saved(Verdict.TOO_LARGE, f"one update has at most {MAX_UPDATE} bytes: send smaller ones")
            return
        await self._waiting.enter(len(update))
        self._box.put_nowait(Written(session, number, update))

    async def save(self, session: Session, message: str) -> None:
        """A revision now."""
        await self._waiting.enter(0)

        async def cut() -> None:
            await self._waiting.leave(1, 0)
            await self._cut(message, session)

        self._box.put_nowait(cut)

    def hurry(self) -> None:
        """A revision now, for nobody in particular."""
        self._box.put_nowait(self._cut)

    async def show(self, session: Session, state: bytes) -> None:
        """Where somebody is."""
        await self._audience.show(session, state)

    async def leave(self, session: Session) -> None:
        """Their updates are kept all the same; when the last one leaves, a revision is cut."""
        self._audience.forget(session)
        if not self._audience and self._due is not None:
            self._due = _now()
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
        waiting = self._next is not None or not self._box.empty()
        return bool(self._audience) or waiting or (self.room.uncut and not self.room.refused)

    async def _turn(self) -> None:
        job = await self._job()
        if isinstance(job, Written):
            batch = self._batch(job)
            await self._waiting.leave(len(batch), sum(len(each.update) for each in batch))
            await self._take(batch)
        elif job is not None:
            await self._guarded(job)
        if _now() - self._ticked >= TICK_S:
            self._ticked = _now()
            await self._guarded(self._tick)
        if self._due is not None and _now() >= self._due:
            await self._guarded(self._cut)

    async def _job(self) -> Job | None:
        """The next; None when there is none for a while."""
        if self._next is not None:
            job, self._next = self._next, None
            return job
        wait_s = TICK_S if self._due is None else min(max(self._due - _now(), 0), TICK_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                return await self._box.get()
        return None

    def _batch(self, first: Written) -> list[Written]:
        """What came right behind it."""
        batch = [first]
        while len(batch) < MAX_BATCH and not self._box.empty():
            job = self._box.get_nowait()
            if not isinstance(job, Written):
                self._next = job
                break
            batch.append(job)
        return batch

    async def _guarded(self, do: Callable[[], Awaitable[None]]) -> None:
        """What fails is done again later; only a room that is gone ends it."""
        try:
            await self._text.loaded(do)
        except RoomGone:
            raise
        except AutomationError as error:
            self._ground.trouble(self.room.room_id, error)
            if self.room.uncut:
                self._due = _now() + RETRY_CUT_S

    async def _tick(self) -> None:
        self._audience.look_around()
        if self.room.uncut and not self.room.refused and self._due is None:
            self._changed()
        if not self._audience:
            return
        await self._catch_up()
        if _now() - self._followed >= FOLLOW_EVERY_S:
            self._followed = _now()
            await self._follow_head()
        if _now() - self._stayed >= STAY_EVERY_S:
            self._stayed = _now()
            await self._ground.store.touch(self.room.tenant_id, self.room.room_id)
            await self._audience.show_all()

    async def _enter(self, session: Session, state_vector: bytes) -> Joined:
        await self._catch_up()
        await self._follow_head()
        standing = await self._text.standing(state_vector)
        if self.room.refused:
            session.not_saved(self.room.refused_reason, self.room.refused_message)
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
            except Unavailable as error:
                self._text.doubt()
                self._warn(batch, error)
                await asyncio.sleep(backoff.next_s())
        for each, verdict in zip(batch, verdicts, strict=True):
            self._answer(each, verdict)
        if Verdict.TAKEN in verdicts:
            self._changed()
            await self._ground.wire.say(self.room.room_id, Hint())
            await self._guarded(self._text.squash)

    def _answer(self, written: Written, verdict: Verdict) -> None:
        session = written.session
        if verdict is Verdict.TAKEN:
            session.warned = False
            session.tell(Acknowledged(written.number))
            self._audience.tell(Theirs(written.update), but=session)
        elif verdict is Verdict.MALFORMED:
            session.end(UpdateMalformed("these bytes are no update of Yjs (version 1)", field="update.update"))
        else:
            session.not_saved(Verdict.TOO_LARGE if verdict is Verdict.HISTORY_FULL else verdict, TOLD[verdict])

    def _warn(self, batch: Sequence[Written], error: AutomationError) -> None:
        for session in {each.session.session_id: each.session for each in batch}.values():
            if not session.warned:
                session.warned = True
                session.not_saved("STORE_AWAY", f"{error.message}; it is tried again", retrying=True)

    def _changed(self) -> None:
        """There is something to be saved, once it falls quiet."""
        if self._uncut_since is None:
            self._uncut_since = _now()
        quiet = _now() + self._ground.idle_s if self._audience else _now()
        self._due = min(quiet, self._uncut_since + self._ground.longest_s)

    # ------------------------------------------------------------------ what others do
    async def _catch_up(self) -> None:
        self._hinted = False
        if await self._text.catch_up():
            self._changed()
        if not self.room.uncut and self.room.head != self._told_head:  # another replica has cut it
            self._tell_saved(self.room.head, self.room.updated_at)

    async def _follow_head(self) -> None:
        """Brings in what was written beside the room, where nothing in it waits to be saved."""
        if self.room.uncut:
            return
        head = await self._ground.cutter.head(self.room)
        if head not in {self.room.head, self._looked_at}:
            self._looked_at = head
            await self._cut_now("", None)

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
            self._box.put_nowait(self._catch_up)

    # ------------------------------------------------------------------ revisions
    async def _cut(self, message: str = "", asked: Session | None = None) -> None:
        await self._catch_up()
        if self.room.uncut:
            await self._cut_now(message, asked)
            return
        self._due = self._uncut_since = None
        if asked is not None:
            asked.tell(Saved(self.room.head, self.room.updated_at))

    async def _cut_now(self, message: str, asked: Session | None) -> None:
        self._due = None
        try:
            outcome = await self._ground.cutter.cut(self.room, message)
        except Unavailable as error:
            self._text.doubt()
            if asked is not None:
                asked.not_saved("STORE_AWAY", f"{error.message}; it is tried again", retrying=True)
            raise
        if outcome is None:
            self._due = _now() + RETRY_CUT_S
        else:
            self._tell_outcome(outcome)

    def _tell_outcome(self, outcome: Outcome) -> None:
        for update in outcome.brought_in:
            self._audience.tell_update(update)
        self._text.moved(outcome.room, outcome.seen)
        if outcome.saved and outcome.time is not None:
            self._tell_saved(outcome.saved, outcome.time)
        elif outcome.refused is not None:
            self._audience.tell_refused(*outcome.refused)
        self._uncut_since = None
        if self.room.uncut and not self.room.refused:
            self._due = _now() + RETRY_CUT_S

    def _tell_saved(self, revision_id: str, time: datetime) -> None:
        self._told_head = revision_id
        self._audience.tell_saved(revision_id, time)

    def _end_all(self, error: AutomationError) -> None:
        self._audience.end(error)
        for done in self._entering:
            if not done.done():
                done.set_exception(error)


def _now() -> float:
    return asyncio.get_running_loop().time()
