"""One window of somebody in a room: what they are still to be told, within bounds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import replace

from automesh.core.errors import AutomationError, ValidationError
from services.doc.domain.editing.said import Acknowledged, NotSaved, PresenceOf, Said, Saved, Theirs
from services.doc.domain.spaces.access import Person

MAX_WAITING, MAX_WAITING_BYTES = 10_000, 8 * 1024**2
BEHIND = (
    "your connection is too slow for what the others write: nothing more is sent or taken here; keep your text, and "
    "join again with your state vector"
)


class Session:
    """Told things by its room, read by its stream. Whoever does not read fast enough is told so, and it ends.

    One thing is always let in, however large.
    """

    def __init__(self, session_id: str, person: Person, *, max_waiting: int = MAX_WAITING) -> None:
        self.session_id, self.person = session_id, person
        self._number = 0
        self.acknowledged = 0
        """The last number that is durable."""
        self.presence: PresenceOf | None = None
        self._waiting: deque[Said] = deque()
        self._bytes, self._max_waiting = 0, max_waiting
        self._changed = asyncio.Event()
        self._ended: AutomationError | bool = False
        self._warned = False
        """Told that the store is away."""

    @property
    def open(self) -> bool:
        """It is still told things."""
        return not self._ended

    def count_on(self, number: int) -> None:
        """For each update, before it is taken. Raises ValidationError, or what is acknowledged would say nothing."""
        if number <= self._number:
            raise ValidationError(
                f"updates are numbered from 1 on, each higher than the one before: {number} came after {self._number}",
                field="update.number",
            )
        self._number = number

    def tell(self, said: Said) -> None:
        """Never waits. Presences of the same client, and acknowledgements, take the place of earlier ones."""
        if not self.open:
            return
        if isinstance(said, Acknowledged):
            self.acknowledged, self._warned = said.number, False
        elif isinstance(said, Saved):
            said, self._warned = replace(said, acknowledged=self.acknowledged), False
        if self._replaced(said):
            return
        size = len(said.update) if isinstance(said, Theirs) else 0
        if self._waiting and (len(self._waiting) >= self._max_waiting or self._bytes + size > MAX_WAITING_BYTES):
            self._waiting.clear()
            self._waiting.append(NotSaved("BEHIND", BEHIND, acknowledged=self.acknowledged))
            self._ended = True
        else:
            self._waiting.append(said)
            self._bytes += size
        self._changed.set()

    def not_saved(self, reason: str, message: str, *, retrying: bool = False) -> None:
        """With what is durable so far."""
        self.tell(NotSaved(reason, message, retrying, self.acknowledged))

    def store_away(self, error: AutomationError) -> None:
        """Said once, until something is kept again."""
        if not self._warned:
            self._warned = True
            self.not_saved("STORE_AWAY", f"{error.message}; it is tried again", retrying=True)

    def end(self, error: AutomationError | None = None) -> None:
        """After what waits; with an error, when there is one."""
        if self.open:
            self._ended = error or True
            self._changed.set()

    async def said(self) -> AsyncGenerator[Said, None]:
        """Everything, to the end. Raises the error that it ends with."""
        while True:
            while self._waiting:
                said = self._waiting.popleft()
                self._bytes -= len(said.update) if isinstance(said, Theirs) else 0
                yield said
            if self._ended:
                if isinstance(self._ended, AutomationError):
                    raise self._ended
                return
            self._changed.clear()
            await self._changed.wait()

    def _replaced(self, said: Said) -> bool:
        if not self._waiting:
            return False
        last = self._waiting[-1]
        if isinstance(said, Acknowledged) and isinstance(last, Acknowledged):
            self._waiting[-1] = said
            return True
        if isinstance(said, PresenceOf):
            for at, waiting in enumerate(self._waiting):
                if isinstance(waiting, PresenceOf) and waiting.client == said.client:
                    self._waiting[at] = said
                    return True
        return False
