"""The box of a room: what people want of it, in order. Whoever brings more than may wait there waits with it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from services.doc.domain.editing.said import Joined
from services.doc.domain.editing.session import Session
from services.doc.domain.editing.waiting import WaitingRoom

MAX_BATCH = 200


@dataclass(frozen=True, slots=True)
class Coming:
    """Somebody wants to come in."""

    session: Session
    state_vector: bytes
    joined: asyncio.Future[Joined]


@dataclass(frozen=True, slots=True)
class Written:
    """Somebody's update."""

    session: Session
    number: int
    update: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants a revision."""

    session: Session
    message: str


@dataclass(frozen=True, slots=True)
class Hinted:
    """Another replica has done something."""


class Box:
    """Things are put in by many, and taken out by the one task of the room."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Coming | Written | Asked | Hinted] = asyncio.Queue()
        self._waiting = WaitingRoom()
        self._next: Coming | Written | Asked | Hinted | None = None

    def __bool__(self) -> bool:
        return self._next is not None or not self._queue.empty()

    def put(self, thing: Coming | Hinted) -> None:
        """One of those whose number is bounded already."""
        self._queue.put_nowait(thing)

    async def bring(self, thing: Written | Asked) -> None:
        """Waits while too much waits already."""
        await self._waiting.enter(len(thing.update) if isinstance(thing, Written) else 0)
        self._queue.put_nowait(thing)

    async def take(self, within_s: float) -> Coming | list[Written] | Asked | Hinted | None:
        """What comes next, updates together with those right behind them; None when there is nothing for a while."""
        thing = await self._taken(within_s)
        if isinstance(thing, Written):
            batch = self._batch(thing)
            await self._waiting.leave(len(batch), sum(len(each.update) for each in batch))
            return batch
        if isinstance(thing, Asked):
            await self._waiting.leave(1, 0)
        return thing

    async def _taken(self, within_s: float) -> Coming | Written | Asked | Hinted | None:
        if self._next is not None:
            thing, self._next = self._next, None
            return thing
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                return await self._queue.get()
        return None

    def _batch(self, first: Written) -> list[Written]:
        batch = [first]
        while len(batch) < MAX_BATCH and not self._queue.empty():
            thing = self._queue.get_nowait()
            if not isinstance(thing, Written):
                self._next = thing
                break
            batch.append(thing)
        return batch
