"""Feeds and follows in SQL, and what becomes of the changes of documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from automesh.storage.postgres import ENGINE, Connection, Database, row_count
from services.doc.domain.notifications.changes import Gathered
from services.doc.domain.notifications.notice import Notification
from services.doc.domain.spaces.access import Person
from services.doc.store import notices
from services.doc.store.spaces import FOUND

NAME = "notifications"
LIST = f"""
SELECT n.* FROM notification n JOIN space s ON s.tenant_id = n.tenant_id AND s.space = n.space
 WHERE n.tenant_id = $1 AND n.username = $3 AND {FOUND} AND (NOT $4 OR NOT n.seen)
   AND ($5::bigint IS NULL OR n.sequence < $5)
 ORDER BY n.sequence DESC LIMIT $6
"""  # noqa: S608 - constants only
MARK_SEEN = """
UPDATE notification SET seen = true WHERE tenant_id = $1 AND username = $2 AND sequence <= $3 AND NOT seen
"""
FOLLOWED = "SELECT count(*) FROM follow WHERE tenant_id = $1 AND username = $2 AND NOT stopped"
FOLLOW = """
INSERT INTO follow (tenant_id, username, space, document_id, stopped) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, space, document_id, username) DO UPDATE SET stopped = excluded.stopped
"""
REACHED = "SELECT sequence FROM follower WHERE name = $1"
BEGIN = "INSERT INTO follower (name, sequence) VALUES ($1, 0) ON CONFLICT DO NOTHING"
ADVANCE = "UPDATE follower SET sequence = $3 WHERE name = $1 AND sequence = $2"
REVISIONS = """
SELECT r.revision_id, r.document_id, r.author, r.co_authors, r.change, r.title, r.path
  FROM revision r WHERE r.revision_id = ANY ($1)
"""
# The oldest of whoever has more than they can read, and all that is old.
PRUNE = """
DELETE FROM notification WHERE sequence IN (
    SELECT sequence FROM notification WHERE created_at < now() - make_interval(days => $1) LIMIT $3
) OR sequence IN (
    SELECT n.sequence FROM (
        SELECT tenant_id, username FROM notification GROUP BY tenant_id, username HAVING count(*) > $2 LIMIT 100
    ) AS full_
      CROSS JOIN LATERAL (
        SELECT sequence FROM notification n WHERE n.tenant_id = full_.tenant_id AND n.username = full_.username
         ORDER BY sequence DESC OFFSET $2 LIMIT $3) AS n)
"""


class SqlFeedStore:
    """A services.doc.domain.notifications.feed.FeedStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, person: Person, *, unseen: bool, limit: int, before: int | None) -> Sequence[Notification]:
        """Keyset by sequence."""
        rows = await self._database.fetch(
            LIST, person.tenant_id, person.admin, person.user, unseen, before, limit, tenant=person.tenant_id
        )
        return [
            Notification(
                sequence=row["sequence"],
                kind=row["kind"],
                space=row["space"],
                document_id=row["document_id"],
                review_id=row["review_id"],
                comment_id=row["comment_id"],
                actor=row["actor"],
                text=row["text"],
                times=row["times"],
                time=row["created_at"],
                seen=row["seen"],
            )
            for row in rows
        ]

    async def mark_seen(self, person: Person, sequence: int) -> None:
        """One statement."""
        await self._database.execute(MARK_SEEN, person.tenant_id, person.user, sequence, tenant=person.tenant_id)

    async def follow(self, person: Person, space: str, document_id: str, *, stop: bool, most: int) -> bool:
        """A stop is remembered."""
        async with self._database.transaction(person.tenant_id) as tx:
            if not stop and await tx.fetchval(FOLLOWED, person.tenant_id, person.user) >= most:
                return False
            await tx.execute(FOLLOW, person.tenant_id, person.user, space, document_id, stop)
        return True

    async def prune(self, keep_days: int, most: int, limit: int) -> int:
        """Of all tenants: what is old, and what is beyond `most` of one person."""
        done = await self._database.execute(PRUNE, keep_days, most, limit, tenant=ENGINE)
        return row_count(done)


class SqlChangeTeller:
    """A services.doc.domain.notifications.changes.ChangeTeller."""

    def __init__(self, database: Database, *, make_id: Callable[[str], str]) -> None:
        self._database, self._make_id = database, make_id

    async def reached(self) -> int:
        """One row, made the first time."""
        found = await self._database.fetchval(REACHED, NAME, tenant=ENGINE)
        if found is None:
            await self._database.execute(BEGIN, NAME, tenant=ENGINE)
            return 0
        return int(found)

    async def tell(self, reached: int, upto: int, gather: Gathered) -> bool:
        """Feeds, deliveries and the cursor in one transaction."""
        async with self._database.transaction(ENGINE) as tx:
            if await tx.execute(ADVANCE, NAME, reached, upto) != "UPDATE 1":
                return False
            rows = await tx.fetch(REVISIONS, list(gather.revision_ids))
            gather.take({row["revision_id"]: dict(row) for row in rows})
            await self._tell(tx, gather)
        return True

    async def _tell(self, tx: Connection, gather: Gathered) -> None:
        for note, author in gather.began():
            await notices.follow(tx, note.tenant_id, note.space, note.document_id, [author], since=note.time)
        for notice, times, last in gather.changed():
            await notices.tell_changed(tx, notice, times, last)
        for notice in gather.deliveries():
            await notices.deliver(tx, notice, make_id=self._make_id)
