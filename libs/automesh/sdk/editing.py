"""Live editing for programs: a text that others change at the same time, and that says whether one's own is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any

from pycrdt import Doc, Text

from automesh.core.backoff import Backoff
from automesh.core.errors import AutomationError, Kind, Unavailable, ValidationError
from automesh.doc.v1 import editing_service_pb2 as pb
from automesh.sdk.connection import Connection
from automesh.sdk.editing_outbox import Outbox
from automesh.sdk.editing_stream import open_stream

PIECE = 256 * 1024
"""Characters that are sent in one update; a message may have four times as many bytes."""
MAX_PLACE = 4 * 1024
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
_JOINED_WITHIN_S = 30.0
_REFUSALS, _MISHAPS = {"TOO_LARGE", "TOO_COSTLY", "OUT_OF_ORDER"}, {"STORE_AWAY", "BEHIND"}
_PASSING = {Kind.UNAVAILABLE, Kind.DEADLINE, Kind.ABORTED}
_TAKEN = {"joined", "update", "acknowledged", "presence", "saved", "not_saved"}


class SaveState(StrEnum):
    """How one's own changes stand."""

    SAVED = "saved"
    """All of them are durable."""
    SAVING = "saving"
    """Some are on their way."""
    NOT_SAVED = "not saved"
    """Some are not kept: see `trouble`, and tell people so."""


@dataclass(frozen=True, slots=True)
class Somebody:
    """Where somebody else is; `state` is what the editors understand among themselves."""

    user: str
    state: bytes


class Editor:
    """One document, open for editing: `async with Editor(connection, document_id) as editor`.

    Positions are characters (Unicode code points) of `text`. A lost connection is made again, and nothing that was
    written meanwhile is lost. Errors that no new connection mends end the editor; `text` stays as it was.
    """

    def __init__(
        self,
        connection: Connection,
        document_id: str,
        branch: str = "",
        *,
        on_change: Callable[[Editor], None] | None = None,
    ) -> None:
        """`on_change` is called whenever `text`, `state`, `revision` or `others` may have changed."""
        self._connection, self._document_id, self._branch = connection, document_id, branch
        self._on_change = on_change
        self._doc: Doc[Text] = Doc()
        self._content = self._doc.get("content", type=Text)
        self._outbox = Outbox()
        self._refused = ""
        self._lost = ""
        self._unfit = ""
        """Why updates will not be taken, are not taken at the moment, and why no revision is made."""
        self._cut, self._before = -1, 0
        """One's own updates up to this number are in `revision`; and were durable before this connection."""
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._begun = False
        self.revision = ""
        """The revision that was cut last."""
        self.others: dict[str, Somebody] = {}
        """Who else is there, by client."""

    async def __aenter__(self) -> Editor:
        """Raises the error that the service refuses with."""
        self._task = asyncio.create_task(self._run(), name=f"edit {self._document_id}")
        self._task.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(_JOINED_WITHIN_S):
                await self._until(lambda: self._begun)
        except TimeoutError:
            await self._end()
            raise Unavailable(f"the document could not be opened in time: {self._lost or 'no answer'}") from None
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for a moment for what is on its way; look at `state` before, to be sure."""
        if error is None and self.state is SaveState.SAVING:
            with suppress(TimeoutError, AutomationError):
                await self.settled(timeout_s=FIRST_PAUSE_S)
        await self._end()

    @property
    def text(self) -> str:
        """As it reads here."""
        return str(self._content)

    @property
    def trouble(self) -> str:
        """Why something is not saved, and what to do; empty when all is well."""
        return self._refused or self._lost or self._unfit

    @property
    def state(self) -> SaveState:
        """How one's own changes stand."""
        if self.trouble:
            return SaveState.NOT_SAVED
        return SaveState.SAVING if self._outbox else SaveState.SAVED

    def insert(self, at: int, text: str) -> None:
        """Puts a text before the character at a position."""
        self.replace(at, at, text)

    def delete(self, start: int, end: int) -> None:
        """Takes out characters `start` to `end` (not included)."""
        self.replace(start, end, "")

    def replace(self, start: int, end: int, text: str) -> None:
        """Puts a text in the place of characters `start` to `end` (not included)."""
        now = self.text
        if not 0 <= start <= end <= len(now):
            raise ValidationError(f"characters {start} to {end} are no part of a text of {len(now)}", field="start")
        first, last = len(now[:start].encode()), len(now[:end].encode())
        for begin in range(0, max(len(text), 1), PIECE):
            piece = text[begin : begin + PIECE]
            self._change(first, last, piece)
            first = last = first + len(piece.encode())

    def show(self, state: bytes) -> None:
        """Where one is, for the others to see; at most 4 KiB."""
        if len(state) > MAX_PLACE:
            raise ValidationError(f"where one is has at most {MAX_PLACE} bytes, not {len(state)}", field="state")
        self._outbox.show(state)

    async def save(self, message: str = "", *, timeout_s: float = 30.0) -> str:
        """Cuts a revision; which one. Raises ValidationError with what it was refused for, TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._all_durable()
            wanted, self._cut, self._unfit = self._outbox.number, -1, ""
            with self._outbox.asking(message):
                await self._until(lambda: self._cut >= wanted or bool(self._unfit))
        if self._unfit:
            raise ValidationError(self._unfit, field="content")
        return self.revision

    async def settled(self, *, timeout_s: float = 30.0) -> None:
        """Returns once all own changes are durable. Raises ValidationError when some are refused, TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._all_durable()

    async def start_over(self) -> str:
        """Puts one's own text aside, and begins again with what the service has; returns the text that was put aside.

        The way out after a refusal, and when the room has begun anew: put the changes in again where they belong.
        """
        aside = self.text
        await self._end()
        self._doc = Doc()
        self._content = self._doc.get("content", type=Text)
        self._outbox.forget()
        self._begun = False
        self._refused = self._lost = self._unfit = self.revision = ""
        await self.__aenter__()
        return aside

    async def changed(self, *, timeout_s: float = 30.0) -> None:
        """Returns with the next thing that happens. Raises TimeoutError, and the error that the editor ended with."""
        async with asyncio.timeout(timeout_s):
            self._check()
            self._changed.clear()
            await self._changed.wait()

    async def _all_durable(self) -> None:
        await self._until(lambda: not self._outbox or bool(self._refused))
        if self._refused:
            self._check()
            raise ValidationError(self._refused, field="content")

    # ------------------------------------------------------------------ the stream
    def _change(self, first: int, last: int, text: str) -> None:
        """Positions are bytes here."""
        if first == last and not text:
            return
        before = self._doc.get_state()
        with self._doc.transaction():
            if last > first:
                del self._content[first:last]
            if text:
                self._content.insert(first, text)
        self._outbox.write(self._doc.get_update(before))
        self._notify()

    async def _run(self) -> None:
        backoff = Backoff(first_s=FIRST_PAUSE_S, most_s=LONGEST_PAUSE_S)
        while True:
            try:
                async with open_stream(self._connection, self._requests()) as said:
                    async for message in said:
                        backoff.reset()
                        self._take(message)
            except AutomationError as error:
                if not self._passes(error):
                    raise
                self._lost = f"{error.message}: trying again" if self._outbox or not self._begun else ""
            finally:
                self._outbox.end()
            self.others.clear()
            self._notify()
            await asyncio.sleep(backoff.next_s())

    def _passes(self, error: AutomationError) -> bool:
        """Whether the stream is made again. Whoever is not in yet is told at once that there is no place."""
        return error.kind in _PASSING or (self._begun and error.kind is Kind.EXHAUSTED)

    def _requests(self) -> AsyncIterator[pb.EditDocumentRequest]:
        vector = self._doc.get_state() if self._begun else b""
        return self._outbox.begin(pb.Join(document_id=self._document_id, branch=self._branch, state_vector=vector))

    def _take(self, message: pb.EditDocumentResponse) -> None:
        kind = message.WhichOneof("said")
        take: Callable[[Any], None] | None = getattr(self, f"_{kind}", None) if kind in _TAKEN else None
        if take is not None:  # a newer service may say more
            take(getattr(message, str(kind)))
        self._notify()

    def _joined(self, joined: pb.Joined) -> None:
        self._update(joined.update)
        self._begun = True
        self.revision = joined.head
        self._before = self._outbox.durable
        self._lost = self._unfit = ""  # what still holds is told anew

    def _update(self, update: bytes) -> None:
        self._doc.apply_update(update)

    def _saved(self, saved: pb.Saved) -> None:
        self.revision, self._cut = saved.revision_id, max(saved.acknowledged, self._before)
        self._lost = self._unfit = ""

    def _acknowledged(self, number: int) -> None:
        self._outbox.acknowledged(number)
        self._lost = ""

    def _presence(self, there: pb.Presence) -> None:
        if there.gone:
            self.others.pop(there.client, None)
        else:
            self.others[there.client] = Somebody(there.user, there.state)

    def _not_saved(self, told: pb.NotSaved) -> None:
        if told.reason in _REFUSALS:
            self._refused = self._refused or told.message
        elif told.reason in _MISHAPS:
            self._lost = told.message
        else:
            self._unfit = told.message

    def _notify(self) -> None:
        self._changed.set()
        if self._on_change is not None:
            self._on_change(self)

    async def _until(self, check: Callable[[], bool]) -> None:
        while not check():
            self._check()
            self._changed.clear()
            await self._changed.wait()

    def _check(self) -> None:
        """Raises the error that the editor has ended with."""
        if self._task is not None and self._task.done():
            self._task.result()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            error = task.exception()
            self._refused = self._refused or (error.message if isinstance(error, AutomationError) else repr(error))
            self._notify()

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
