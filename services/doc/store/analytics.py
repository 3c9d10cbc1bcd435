"""What is read and looked for, in SQL: written down."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import date, datetime

from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Sealer, place
from services.doc.domain.analytics.events import SearchDone
from services.doc.domain.analytics.figures import Reader
from services.doc.domain.analytics.ports import Visit
from services.doc.domain.documents.path import key

READ = """
WITH counted AS (
    INSERT INTO reader (tenant_id, space, document_id, username, last_day) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant_id, document_id, username) DO UPDATE SET last_day = excluded.last_day
     WHERE reader.last_day < excluded.last_day
    RETURNING document_id)
INSERT INTO view_day (tenant_id, space, document_id, day, views) SELECT $1, $2, document_id, $5, 1 FROM counted
ON CONFLICT (tenant_id, space, day, document_id) DO UPDATE SET views = view_day.views + 1
"""
CONFIRM = "UPDATE reader SET confirmed_revision = $4 WHERE tenant_id = $1 AND document_id = $2 AND username = $3"
VISITED = """
WITH came AS (
    SELECT DISTINCT ON (h.tenant_id, h.document_id, v.visitor) h.tenant_id, h.space, h.document_id, v.visitor, v.robot
      FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bool[])
           v (tenant_id, space, path_key, document_id, visitor, robot)
      JOIN head h ON h.tenant_id = v.tenant_id AND h.space = v.space AND h.branch = 'main' AND h.deleted_at IS NULL
       AND (h.document_id = v.document_id
            OR h.path_key = ANY (ARRAY[v.path_key, v.path_key || '.md', ltrim(v.path_key || '/index.md', '/')]))
     WHERE v.document_id <> '' OR v.path_key <> ''
     ORDER BY h.tenant_id, h.document_id, v.visitor),
new AS (
    INSERT INTO visit (tenant_id, document_id, day, visitor) SELECT tenant_id, document_id, $1, visitor FROM came
    ON CONFLICT DO NOTHING RETURNING tenant_id, document_id, visitor)
INSERT INTO view_day (tenant_id, space, document_id, day, views, robot_views)
SELECT tenant_id, space, document_id, $1, count(*) FILTER (WHERE NOT robot), count(*) FILTER (WHERE robot)
  FROM new JOIN came USING (tenant_id, document_id, visitor) GROUP BY tenant_id, space, document_id
 ORDER BY tenant_id, space, document_id
ON CONFLICT (tenant_id, space, day, document_id) DO UPDATE
   SET views = view_day.views + excluded.views, robot_views = view_day.robot_views + excluded.robot_views
"""
NEW_SALT = "INSERT INTO day_salt (day, salt) VALUES ($1, $2) ON CONFLICT (day) DO NOTHING"
SALT = "SELECT salt FROM day_salt WHERE day = $1"
READERS = """
SELECT username, last_day, confirmed_revision FROM reader WHERE tenant_id = $1 AND document_id = $2
   AND ($3::date IS NULL OR (last_day, username) < ($3, $4)) ORDER BY last_day DESC, username DESC LIMIT $5
"""
SEARCHED = """
INSERT INTO search_event (tenant_id, search_id, space, query, results, searched_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::timestamptz[])
ON CONFLICT DO NOTHING
"""
CLICKED = """
INSERT INTO search_click (tenant_id, search_id, document_id, rank, clicked_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""
SALT_BYTES = 32


class SqlViewStore:
    """A services.doc.domain.analytics.ports.ViewStore."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer

    async def read(
        self, tenant_id: str, space: str, document_id: str, user: str, day: date, *, confirmed: str = ""
    ) -> None:
        """The row of the person is what counts them once a day."""
        async with self._database.transaction(tenant_id) as tx:
            await tx.execute(READ, tenant_id, space, document_id, user, day)
            if confirmed:
                await tx.execute(CONFIRM, tenant_id, document_id, user, confirmed)

    async def visited(self, visits: Sequence[Visit], day: date) -> None:
        """One statement for all, of all tenants."""
        await self._database.execute(
            VISITED,
            day,
            [each.tenant_id for each in visits],
            [each.space for each in visits],
            [key(each.path.strip("/")) for each in visits],
            [each.document_id for each in visits],
            [each.visitor for each in visits],
            [each.robot for each in visits],
            tenant=ENGINE,
        )

    async def salt(self, day: date) -> bytes:
        """Made by the first who asks."""
        at = place("doc", "day_salt", day.isoformat())
        sealed = await self._database.fetchval(SALT, day, tenant=ENGINE)
        if sealed is None:
            made = self._sealer.seal(secrets.token_bytes(SALT_BYTES), at)
            await self._database.execute(NEW_SALT, day, made, tenant=ENGINE)
            sealed = await self._database.fetchval(SALT, day, tenant=ENGINE)
        return self._sealer.unseal(sealed, at)

    async def readers(
        self, tenant_id: str, document_id: str, *, limit: int, before: tuple[date, str] | None
    ) -> Sequence[Reader]:
        """Keyset by day and name."""
        day, user = before or (None, "")
        found = await self._database.fetch(READERS, tenant_id, document_id, day, user, limit, tenant=tenant_id)
        return [
            Reader(user=row["username"], last_day=row["last_day"], confirmed_revision=row["confirmed_revision"])
            for row in found
        ]


class SqlSearchStore:
    """A services.doc.domain.analytics.ports.SearchStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def searched(self, searches: Sequence[SearchDone]) -> None:
        """One statement for all, of all tenants."""
        await self._database.execute(
            SEARCHED,
            [each.tenant_id for each in searches],
            [each.search_id for each in searches],
            [each.space for each in searches],
            [each.query for each in searches],
            [each.results for each in searches],
            [each.time for each in searches],
            tenant=ENGINE,
        )

    async def clicked(self, tenant_id: str, search_id: str, document_id: str, rank: int, now: datetime) -> None:
        """One row a search."""
        await self._database.execute(CLICKED, tenant_id, search_id, document_id, rank, now, tenant=tenant_id)
