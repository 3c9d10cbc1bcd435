"""Rooms in SQL. Whoever writes updates holds the row of the room, so that updates are seen in their order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from automesh.storage.postgres import ENGINE, Connection, Database, Record, row_count
from automesh.storage.sealing import Sealer, place
from services.doc.domain.editing.errors import RoomGone
from services.doc.domain.editing.room import MAX_AUTHORS, REFUSED_AT_MOST, KeptUpdate, NewRoom, Room, request_prefix

FIND = "SELECT * FROM edit_room WHERE tenant_id = $1 AND document_id = $2 AND branch = $3"
GET = "SELECT * FROM edit_room WHERE tenant_id = $1 AND room_id = $2"
OPEN = """
INSERT INTO edit_room (room_id, tenant_id, document_id, branch, founder, head, sequence, cut_sequence)
SELECT $1, $2, $3, $4, $5, $6, 1, 1 WHERE EXISTS (SELECT FROM document WHERE tenant_id = $2 AND document_id = $3)
ON CONFLICT (document_id, branch) DO NOTHING RETURNING *
"""
KEEP = """
INSERT INTO edit_update (room_id, tenant_id, sequence, bytes) SELECT $1, $2, * FROM unnest($3::bigint[], $4::bytea[])
"""
AFTER = "SELECT sequence, bytes FROM edit_update WHERE room_id = $1 AND sequence > $2 ORDER BY sequence"
APPEND = """
UPDATE edit_room SET sequence = sequence + $3, updated_at = now(), head = CASE WHEN $5 = '' THEN head ELSE $5 END,
       authors = (SELECT coalesce(array_agg(author ORDER BY at), '{}') FROM (
           SELECT author, max(at) AS at FROM unnest(authors || $4::text[]) WITH ORDINALITY AS written (author, at)
            GROUP BY author ORDER BY at DESC LIMIT $6) AS latest)
 WHERE tenant_id = $1 AND room_id = $2 RETURNING *
"""
LOCK = "SELECT FROM edit_room WHERE tenant_id = $1 AND room_id = $2 FOR UPDATE"
SQUASH = "DELETE FROM edit_update WHERE room_id = $1 AND sequence <= $2"
# The last revision that was made of this room, however that ended for who made it: later than the head that is known.
OWN = """
SELECT r.revision_id FROM write_request w JOIN revision r USING (revision_id)
 WHERE r.document_id = $1 AND w.tenant_id = $2 AND starts_with(w.request_id, $3)
   AND r.number > coalesce((SELECT number FROM revision WHERE revision_id = $4), 0)
 ORDER BY r.number DESC LIMIT 1
"""
TAKE_CUT = """
UPDATE edit_room SET cutter = $3, cutting_until = now() + $4::interval
 WHERE tenant_id = $1 AND room_id = $2 AND (cutting_until IS NULL OR cutting_until < now() OR cutter = $3) RETURNING *
"""
SET_HEAD = "UPDATE edit_room SET head = $3 WHERE tenant_id = $1 AND room_id = $2 RETURNING *"
CUT = """
UPDATE edit_room SET head = $5, cut_sequence = greatest(cut_sequence, $4), cutter = '', cutting_until = NULL,
       authors = CASE WHEN sequence = $4 THEN '{}' ELSE authors END,
       refused_sequence = 0, refused_reason = '', refused_message = ''
 WHERE tenant_id = $1 AND room_id = $2 AND cutter = $3 RETURNING *
"""
REFUSE = """
UPDATE edit_room SET refused_sequence = $4, refused_reason = $5, refused_message = $6, cutter = '', cutting_until = NULL
 WHERE tenant_id = $1 AND room_id = $2 AND cutter = $3 RETURNING *
"""
RELEASE = """
UPDATE edit_room SET cutter = '', cutting_until = NULL WHERE tenant_id = $1 AND room_id = $2 AND cutter = $3
"""
TOUCH = "UPDATE edit_room SET updated_at = now() WHERE tenant_id = $1 AND room_id = $2 AND cut_sequence = sequence"
LEFT_UNCUT = """
SELECT * FROM edit_room
 WHERE cut_sequence < sequence AND refused_sequence < sequence AND updated_at < now() - $1::interval
   AND (cutting_until IS NULL OR cutting_until < now())
 ORDER BY updated_at LIMIT $2
"""
FORGET = """
DELETE FROM edit_room WHERE room_id IN (
    SELECT e.room_id FROM edit_room e LEFT JOIN revision r ON r.revision_id = e.head
     WHERE e.cut_sequence = e.sequence AND e.updated_at < now() - $2::interval
       AND (e.updated_at < now() - $1::interval
            OR (SELECT sum(length(u.bytes)) FROM edit_update u WHERE u.room_id = e.room_id)
               > greatest(1048576, 4 * coalesce(r.size, 0)))
     ORDER BY e.updated_at LIMIT $3 FOR UPDATE OF e SKIP LOCKED)
"""


class SqlRoomStore:
    """A services.doc.domain.editing.ports.RoomStore."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer

    async def find(self, tenant_id: str, document_id: str, branch: str) -> Room | None:
        """One row."""
        row = await self._database.fetchrow(FIND, tenant_id, document_id, branch, tenant=tenant_id)
        return None if row is None else _room(row)

    async def open(self, new: NewRoom, first: bytes) -> Room:
        """The room and its first update in one transaction."""
        async with self._database.transaction(new.tenant_id) as tx:
            row = await tx.fetchrow(
                OPEN, new.room_id, new.tenant_id, new.document_id, new.branch, new.founder, new.head
            )
            if row is not None:
                await self._keep(tx, new.tenant_id, new.room_id, 1, [first])
                return _room(row)
        found = await self.find(new.tenant_id, new.document_id, new.branch)
        if found is None:
            raise _gone()
        return found

    async def after(self, tenant_id: str, room_id: str, sequence: int) -> tuple[Room, Sequence[KeptUpdate]]:
        """The room first: its updates up to that sequence are there by then."""
        room = _existing(await self._database.fetchrow(GET, tenant_id, room_id, tenant=tenant_id))
        if room.sequence <= sequence:
            return room, ()
        rows = await self._database.fetch(AFTER, room_id, sequence, tenant=tenant_id)
        return room, [KeptUpdate(row["sequence"], self._unsealed(tenant_id, room_id, row)) for row in rows]

    async def append(
        self, tenant_id: str, room_id: str, updates: Sequence[bytes], *, authors: Sequence[str], head: str = ""
    ) -> Room:
        """One transaction."""
        async with self._database.transaction(tenant_id) as tx:
            room = _existing(
                await tx.fetchrow(APPEND, tenant_id, room_id, len(updates), list(authors), head, MAX_AUTHORS)
            )
            await self._keep(tx, tenant_id, room_id, room.sequence - len(updates) + 1, updates)
        return room

    async def squash(self, tenant_id: str, room_id: str, sequence: int, snapshot: bytes) -> None:
        """Nothing, where somebody else has brought together more already."""
        async with self._database.transaction(tenant_id) as tx:
            await tx.execute(LOCK, tenant_id, room_id)
            if await tx.execute(SQUASH, room_id, sequence) != "DELETE 0":
                await self._keep(tx, tenant_id, room_id, sequence, [snapshot])

    async def take_cut(self, tenant_id: str, room_id: str, replica: str, hold_for: timedelta) -> Room | None:
        """With the last own revision as head, should a process have died between making it and saying so."""
        async with self._database.transaction(tenant_id) as tx:
            row = await tx.fetchrow(TAKE_CUT, tenant_id, room_id, replica, hold_for)
            if row is None:
                _existing(await tx.fetchrow(GET, tenant_id, room_id))
                return None
            own = await tx.fetchval(OWN, row["document_id"], tenant_id, request_prefix(room_id), row["head"])
            return _existing(await tx.fetchrow(SET_HEAD, tenant_id, room_id, own)) if own else _room(row)

    async def cut(self, tenant_id: str, room_id: str, replica: str, sequence: int, head: str) -> Room:
        """Authors of what came meanwhile stay."""
        row = await self._database.fetchrow(CUT, tenant_id, room_id, replica, sequence, head, tenant=tenant_id)
        return await self._still(tenant_id, room_id, row)

    async def refuse(self, room: Room, replica: str, reason: str, message: str) -> Room:
        """Kept for whoever comes."""
        message = message[:REFUSED_AT_MOST].replace("\0", "")
        row = await self._database.fetchrow(
            REFUSE, room.tenant_id, room.room_id, replica, room.sequence, reason, message, tenant=room.tenant_id
        )
        return await self._still(room.tenant_id, room.room_id, row)

    async def release(self, tenant_id: str, room_id: str, replica: str) -> None:
        """Only what is one's own."""
        await self._database.execute(RELEASE, tenant_id, room_id, replica, tenant=tenant_id)

    async def touch(self, tenant_id: str, room_id: str) -> None:
        """Not while something is uncut: how long that has been quiet matters."""
        await self._database.execute(TOUCH, tenant_id, room_id, tenant=tenant_id)

    async def left_uncut(self, quiet_for: timedelta, limit: int) -> Sequence[Room]:
        """Of all tenants."""
        return [_room(row) for row in await self._database.fetch(LEFT_UNCUT, quiet_for, limit, tenant=ENGINE)]

    async def forget(self, unused_for: timedelta, worn_for: timedelta, limit: int) -> int:
        """Of all tenants."""
        done = await self._database.execute(FORGET, unused_for, worn_for, limit, tenant=ENGINE)
        return row_count(done)

    async def _still(self, tenant_id: str, room_id: str, row: Record | None) -> Room:
        """As it is, when another replica has taken over meanwhile: that one will say how it went."""
        return _existing(row or await self._database.fetchrow(GET, tenant_id, room_id, tenant=tenant_id))

    async def _keep(self, tx: Connection, tenant_id: str, room_id: str, first: int, updates: Sequence[bytes]) -> None:
        sequences = range(first, first + len(updates))
        sealed = [
            self._sealer.seal(update, _place(tenant_id, room_id, sequence))
            for sequence, update in zip(sequences, updates, strict=True)
        ]
        await tx.execute(KEEP, room_id, tenant_id, list(sequences), sealed)

    def _unsealed(self, tenant_id: str, room_id: str, row: Record) -> bytes:
        return self._sealer.unseal(row["bytes"], _place(tenant_id, room_id, row["sequence"]))


def _place(tenant_id: str, room_id: str, sequence: int) -> bytes:
    return place("doc", tenant_id, "edit_update", room_id, str(sequence))


def _existing(row: Record | None) -> Room:
    if row is None:
        raise _gone()
    return _room(row)


def _gone() -> RoomGone:
    return RoomGone("the room is not kept any more: join again")


def _room(row: Record) -> Room:
    return Room(
        room_id=row["room_id"],
        tenant_id=row["tenant_id"],
        document_id=row["document_id"],
        branch=row["branch"],
        founder=row["founder"],
        head=row["head"],
        sequence=row["sequence"],
        cut_sequence=row["cut_sequence"],
        authors=tuple(row["authors"]),
        refused_sequence=row["refused_sequence"],
        refused_reason=row["refused_reason"],
        refused_message=row["refused_message"],
        updated_at=row["updated_at"],
    )
