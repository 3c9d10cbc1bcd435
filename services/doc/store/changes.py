"""The outbox in SQL.

A transaction that is still open may hold a smaller sequence than one that has committed. A line is shown only once no
transaction that was open when it was written is open any more (its `transaction` is below the snapshot's xmin), so that
a reader who goes by sequence misses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from automesh.storage.postgres import ENGINE, Database, row_count
from services.doc.domain.changes.change import ChangeNote

SETTLED = "transaction < pg_snapshot_xmin(pg_current_snapshot())"
AFTER = f"""
SELECT sequence, tenant_id, space, document_id, revision_id, created_at FROM change
 WHERE sequence > $1 AND {SETTLED} ORDER BY sequence LIMIT $2
"""  # noqa: S608 # made of constants
LATEST = f"SELECT coalesce(max(sequence), 0) FROM change WHERE {SETTLED}"  # noqa: S608 # made of constants
OLDEST = "SELECT coalesce(min(sequence), 0) FROM change"
PRUNE = """
DELETE FROM change WHERE sequence IN (
    SELECT sequence FROM change WHERE created_at < now() - make_interval(days => $1) ORDER BY sequence LIMIT 10000
)
"""


class SqlChanges:
    """A services.doc.domain.changes.change.Changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def after(self, sequence: int, limit: int) -> Sequence[ChangeNote]:
        """Keyset by sequence."""
        found = await self._database.fetch(AFTER, sequence, limit, tenant=ENGINE)
        return [
            ChangeNote(
                sequence=row["sequence"],
                tenant_id=row["tenant_id"],
                space=row["space"],
                document_id=row["document_id"],
                revision_id=row["revision_id"],
                time=row["created_at"],
            )
            for row in found
        ]

    async def latest(self) -> int:
        """One value."""
        return int(await self._database.fetchval(LATEST, tenant=ENGINE))

    async def oldest(self) -> int:
        """One value."""
        return int(await self._database.fetchval(OLDEST, tenant=ENGINE))

    async def prune(self, keep_days: int) -> int:
        """At most 10,000."""
        done = await self._database.execute(PRUNE, keep_days, tenant=ENGINE)
        return row_count(done)
