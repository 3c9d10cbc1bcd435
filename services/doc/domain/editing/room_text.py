"""The text of an open room in memory, and in the store: the store is the truth, and always first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from services.doc.domain.editing.errors import TextsLost, TextsOverrun
from services.doc.domain.editing.ports import RoomStore, SharedTexts, Standing, Verdict
from services.doc.domain.editing.room import SQUASH_BYTES, SQUASH_UPDATES, KeptUpdate, Room

T = TypeVar("T")
Tell = Callable[[bytes], None]


class RoomText:
    """For one task at a time. `tell` is called with each update that came from elsewhere."""

    def __init__(self, room: Room, store: RoomStore, texts: SharedTexts, tell: Tell, *, max_bytes: int) -> None:
        self.room, self.seen = room, 0
        """As it is kept; the sequence up to which the text in memory has everything."""
        self._store, self._texts, self._tell, self._max_bytes = store, texts, tell, max_bytes
        self._ready = self._begun = False
        self._small = self._small_bytes = 0
        """Updates since they were brought together, and their bytes."""

    async def loaded(self, do: Callable[[], Awaitable[T]]) -> T:
        """With the text in memory; once more, when it was lost on the way."""
        if not self._ready:
            await self._load()
        try:
            return await do()
        except TextsLost:
            await self._load()
            return await do()

    def doubt(self) -> None:
        """The text in memory may hold what is not stored: it is made anew before it is used again."""
        self._ready = False

    def moved(self, room: Room, seen: int) -> None:
        """Somebody else has worked on it, with the text in memory."""
        self.room, self.seen = room, max(self.seen, seen)

    async def standing(self, state_vector: bytes) -> Standing:
        """For somebody who has what the vector says. Raises UpdateMalformed, RoomBeganAnew."""
        return await self._texts.standing(self.room.room_id, state_vector, self.room.founder)

    async def catch_up(self, own: Mapping[int, bytes] | None = None) -> bool:
        """Reads what other replicas have added; whether there was something. `own`: what is in memory, by sequence."""
        room, found = await self._store.after(self.room.tenant_id, self.room.room_id, self.seen)
        # Not by sequence alone: what stands where one's own was may stand for many that others wrote, too.
        new = [each.update for each in found if (own or {}).get(each.sequence) != each.update]
        if new:
            await self._texts.take(room.room_id, new)
            self._count(new)
        self._note(room, found, new)
        return bool(new)

    async def keep(self, updates: Sequence[bytes], authors: Sequence[str]) -> Sequence[Verdict]:
        """Makes those durable that are fine, all or none: when this returns they are. `authors`: one for each."""
        verdicts = await self._judged(updates)
        fine = [update for update, verdict in zip(updates, verdicts, strict=True) if verdict is Verdict.TAKEN]
        wrote = [author for author, verdict in zip(authors, verdicts, strict=True) if verdict is Verdict.TAKEN]
        if fine:
            names = list(dict.fromkeys(reversed(wrote)))[::-1]  # the last one last
            room = await self._store.append(self.room.tenant_id, self.room.room_id, fine, authors=names)
            self._count(fine)
            own = dict(enumerate(fine, room.sequence - len(fine) + 1))
            if min(own) == self.seen + 1:
                self.moved(room, room.sequence)
            else:
                await self.catch_up(own)
        return verdicts

    async def squash(self) -> None:
        """Brings many updates together into one, when that is worth it."""
        if self._small < SQUASH_UPDATES and self._small_bytes < SQUASH_BYTES:
            return
        with suppress(TextsLost):  # another time
            snapshot = await self._texts.snapshot(self.room.room_id)
            if self._small < SQUASH_UPDATES and self._small_bytes < len(snapshot):
                return  # it costs more than it saves
            await self._store.squash(self.room.tenant_id, self.room.room_id, self.seen, snapshot)
            self._small = self._small_bytes = 0

    async def drop(self) -> None:
        """It is not needed in memory any more."""
        with suppress(TextsLost):
            await self._texts.drop(self.room.room_id)

    async def _load(self) -> None:
        room, updates = await self._store.after(self.room.tenant_id, self.room.room_id, 0)
        await self._texts.load(room.room_id, [each.update for each in updates])
        self._ready = True
        self._note(room, updates, [each.update for each in updates if each.sequence > self.seen])
        self._small = self._small_bytes = 0
        self._count([each.update for each in updates[1:]])

    async def _judged(self, updates: Sequence[bytes]) -> Sequence[Verdict]:
        """One by one, when all at once take too long: only what takes too long by itself is refused for it."""
        try:
            return await self._judge(updates)
        except TextsOverrun:
            verdicts: list[Verdict] = []
            for update in updates:
                verdicts.append(await self._judged_alone(updates[: len(verdicts)], verdicts, update))
            await self._load()
            await self._retake(updates, verdicts)
            return verdicts

    async def _judged_alone(self, before: Sequence[bytes], verdicts: Sequence[Verdict], update: bytes) -> Verdict:
        await self._load()
        await self._retake(before, verdicts)
        try:
            return (await self._judge([update]))[0]
        except TextsOverrun:
            return Verdict.TOO_COSTLY

    async def _judge(self, updates: Sequence[bytes]) -> Sequence[Verdict]:
        return await self._texts.judge(self.room.room_id, updates, max_bytes=self._max_bytes)

    async def _retake(self, updates: Sequence[bytes], verdicts: Sequence[Verdict]) -> None:
        fine = [update for update, verdict in zip(updates, verdicts, strict=True) if verdict is Verdict.TAKEN]
        if fine:
            await self._texts.take(self.room.room_id, fine)

    def _note(self, room: Room, found: Sequence[KeptUpdate], new: Sequence[bytes]) -> None:
        self.moved(room, max((each.sequence for each in found), default=0))
        if self._begun:
            for update in new:
                self._tell(update)
        self._begun = True

    def _count(self, updates: Sequence[bytes]) -> None:
        self._small += len(updates)
        self._small_bytes += sum(map(len, updates))
