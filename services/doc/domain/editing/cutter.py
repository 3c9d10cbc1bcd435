"""Makes revisions of rooms, and brings into rooms what others have written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from automesh.core.clock import Clock
from automesh.core.errors import AutomationError, ValidationError
from services.doc.domain.documents.document import Document
from services.doc.domain.documents.merging import MergeOutcome
from services.doc.domain.documents.reader import DocumentReader
from services.doc.domain.documents.requests import Edit
from services.doc.domain.documents.writer import DocumentWriter
from services.doc.domain.editing.errors import passes
from services.doc.domain.editing.ports import RoomStore, SharedTexts
from services.doc.domain.editing.room import Room, request_id
from services.doc.domain.errors import DocumentTrashed, StaleHead
from services.doc.domain.spaces.access import Person

HOLD_FOR = timedelta(seconds=60)
TRIES = 5
"""Merges in a row, when others keep writing."""
SHOWN_LINES = 3
MESSAGE = "edited together"
STALE_WRITE = "STALE_WRITE"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cut ended. Neither saved nor refused: others have written meanwhile, try again."""

    room: Room
    """As it is kept now."""
    seen: int
    """The text that was loaded holds everything up to this sequence."""
    saved: str = ""
    """The revision that has all of that text."""
    time: datetime | None = None
    refused: tuple[str, str] | None = None
    """Reason and message."""
    brought_in: Sequence[bytes] = ()
    """Updates that brought in what others wrote; everybody in the room has to be told."""


class _OthersWrote(Exception):
    """Another replica has added updates that the loaded text lacks."""


class Cutter:
    """Works on one room at a time for whoever has loaded its text up to `room.sequence`."""

    def __init__(
        self,
        store: RoomStore,
        texts: SharedTexts,
        writer: DocumentWriter,
        reader: DocumentReader,
        *,
        replica: str,
        clock: Clock,
    ) -> None:
        self._store, self._texts, self._writer, self._reader = store, texts, writer, reader
        self._replica, self._clock = replica, clock

    async def head(self, room: Room) -> str:
        """The head of its document. Raises DocumentNotFound."""
        document = await self._reader.head(_person(room), room.document_id, room.branch)
        return document.revision_id

    async def cut(self, room: Room, message: str = "") -> Outcome | None:
        """None while another replica is at it. Raises RoomGone, and what passes; then nothing is decided."""
        taken = await self._store.take_cut(room.tenant_id, room.room_id, self._replica, HOLD_FOR)
        if taken is None:
            return None
        if taken.sequence != room.sequence:  # others have written: read that first
            await self._release(room)
            return Outcome(taken, room.sequence)
        try:
            return await self._cut(taken, message or MESSAGE)
        except BaseException:
            await self._release(room)
            raise

    async def _cut(self, room: Room, message: str) -> Outcome:
        brought_in: list[bytes] = []
        with suppress(_OthersWrote):
            for _ in range(TRIES):
                outcome = await self._tried(room, message)
                if isinstance(outcome, Outcome):
                    return replace(outcome, brought_in=brought_in)
                room, update = outcome
                brought_in += [update] if update else []
        await self._release(room)
        return Outcome(room, room.sequence, brought_in=brought_in)

    async def _tried(self, room: Room, message: str) -> Outcome | tuple[Room, bytes]:
        """How it ended; or the room after a merge, with the update that brought it in."""
        try:
            text = await self._texts.text(room.room_id)
            document = await self._reader.document(_person(room), room.document_id, room.branch)
            if document.head.deleted_at is not None:
                raise DocumentTrashed(f"{document.head.path!r} is in the trash: restore it first")
            if document.head.revision_id != room.head:
                return await self._merged(room, text, document)
            if document.content == text:
                return await self._done(room, room.head)
            return await self._written(room, text, message)
        except StaleHead:  # somebody wrote between reading and writing, perhaps this room: look again
            return await self._taken_again(room), b""
        except AutomationError as error:
            if passes(error):
                raise
            return await self._refused(room, error.reason, _said(error))

    async def _written(self, room: Room, text: str, message: str) -> Outcome:
        written = await self._writer.update(
            _person(room),
            Edit(
                document_id=room.document_id,
                expected=room.head,
                branch=room.branch,
                content=text,
                message=message,
                co_authors=tuple(room.authors[:-1]),
                request_id=request_id(room),
            ),
        )
        if written.document.content == text:
            return await self._done(room, written.document.head.revision_id)
        # The same request has written it before, and others have gone on from there: the next cut brings that in.
        return await self._done(room, (await self._taken_again(room)).head)

    async def _merged(self, room: Room, text: str, document: Document) -> Outcome | tuple[Room, bytes]:
        head = document.head
        outcome = await self._reader.merge(
            _person(room), room.document_id, room.branch, content=text, ours=room.head, theirs=head.revision_id
        )
        if not outcome.clean:
            return await self._refused(room, STALE_WRITE, _conflicting(head.updated_by, outcome))
        update = await self._texts.rewrite(room.room_id, outcome.content)
        updates = [update] if update else []
        kept = await self._store.append(room.tenant_id, room.room_id, updates, authors=(), head=head.revision_id)
        if kept.sequence != room.sequence + len(updates):
            raise _OthersWrote
        return kept, update

    async def _taken_again(self, room: Room) -> Room:
        """With the revision that this room made last as its head."""
        taken = await self._store.take_cut(room.tenant_id, room.room_id, self._replica, HOLD_FOR)
        if taken is None or taken.sequence != room.sequence:
            raise _OthersWrote
        return taken

    async def _done(self, room: Room, head: str) -> Outcome:
        kept = await self._store.cut(room.tenant_id, room.room_id, self._replica, room.sequence, head)
        return Outcome(kept, room.sequence, saved=head, time=self._clock())

    async def _refused(self, room: Room, reason: str, message: str) -> Outcome:
        kept = await self._store.refuse(room, self._replica, reason, message)
        return Outcome(kept, room.sequence, refused=(reason, message))

    async def _release(self, room: Room) -> None:
        with suppress(AutomationError):  # the hold runs out by itself
            await self._store.release(room.tenant_id, room.room_id, self._replica)


def _person(room: Room) -> Person:
    """Who wrote last. Updates are let in while their writers may write; their right is not asked for again."""
    return Person(tenant_id=room.tenant_id, user=room.authors[-1] if room.authors else "automesh", admin=True)


def _conflicting(author: str, outcome: MergeOutcome) -> str:
    places = [
        f"line {each.line}: theirs is {(each.theirs.splitlines() or ['(removed)'])[0][:120]!r}"
        for each in outcome.conflicts[:SHOWN_LINES]
    ]
    return (
        f"{author} has changed the same lines of this page beside the room ({'; '.join(places)}): make yours like "
        "theirs and it is saved. Until then the text is kept in this room only"
    )


def _said(error: AutomationError) -> str:
    found = [each.description for each in error.violations] if isinstance(error, ValidationError) else []
    why = "; ".join(dict.fromkeys(found)) or error.message
    return f"no revision could be made of this text: {why}. It is kept in this room only"
