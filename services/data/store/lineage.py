"""Lineage in SQL: walks over the edges, bounded in length and number."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from automesh.storage.postgres import Database, Record
from services.data.domain.errors import version_not_found
from services.data.domain.lineage import Node

# Every version has one source, so upstream is a chain and downstream a tree: nothing is met twice.
UPSTREAM = """
WITH RECURSIVE up AS (
    SELECT kind, source_id, source_version, 1 AS distance FROM lineage
     WHERE tenant_id = $1 AND data_id = $2 AND version = $3
    UNION ALL
    SELECT l.kind, l.source_id, l.source_version, up.distance + 1 FROM up
      JOIN lineage l ON up.kind = 'dataset' AND l.data_id = up.source_id AND l.version = up.source_version
     WHERE up.distance < $4 AND l.tenant_id = $1)
SELECT kind, source_id AS id, source_version AS version, distance FROM up ORDER BY distance LIMIT $4
"""
DOWNSTREAM = """
WITH RECURSIVE down AS (
    SELECT data_id, version, 1 AS distance FROM lineage
     WHERE tenant_id = $1 AND kind = 'dataset' AND source_id = $2 AND source_version = $3
    UNION ALL
    SELECT l.data_id, l.version, down.distance + 1 FROM down
      JOIN lineage l ON l.kind = 'dataset' AND l.source_id = down.data_id AND l.source_version = down.version
     WHERE down.distance < $4 AND l.tenant_id = $1),
versions AS (SELECT $2::text AS data_id, $3::integer AS version, 0 AS distance UNION ALL SELECT * FROM down)
SELECT 'dataset' AS kind, data_id AS id, version, distance FROM down
UNION ALL
SELECT 'model', d.model_id, d.model_version, versions.distance + 1
  FROM versions JOIN dependent d USING (data_id, version) WHERE d.tenant_id = $1
ORDER BY distance, kind, id, version LIMIT $4
"""
ADD = """
INSERT INTO dependent (tenant_id, data_id, version, model_id, model_version)
SELECT tenant_id, data_id, version, $4, $5 FROM version
 WHERE tenant_id = $1 AND data_id = $2 AND version = $3 AND state = 'READY' FOR KEY SHARE
ON CONFLICT DO NOTHING
"""
KNOWN = "SELECT 1 FROM version WHERE tenant_id = $1 AND data_id = $2 AND version = $3 AND state = 'READY'"
REMOVE = """
DELETE FROM dependent WHERE tenant_id = $1 AND model_id = $2 AND ($3 = 0 OR model_version = $3)
"""


class SqlLineageStore:
    """A services.data.domain.ports.LineageStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def upstream(self, tenant_id: str, data_id: str, version: int, limit: int) -> Sequence[Node]:
        """One statement."""
        return _nodes(await self._database.fetch(UPSTREAM, tenant_id, data_id, version, limit, tenant=tenant_id))

    async def downstream(self, tenant_id: str, data_id: str, version: int, limit: int) -> Sequence[Node]:
        """One statement; models stand one step behind what they were trained on."""
        return _nodes(await self._database.fetch(DOWNSTREAM, tenant_id, data_id, version, limit, tenant=tenant_id))

    async def add_dependent(self, tenant_id: str, data_id: str, version: int, model: tuple[str, int]) -> None:
        """Once it is committed, the version is not deleted."""
        key = (tenant_id, data_id, version)
        try:
            tag = await self._database.execute(ADD, *key, *model, tenant=tenant_id)
        except asyncpg.ForeignKeyViolationError:  # deleted just now
            raise version_not_found(data_id, version) from None
        if tag == "INSERT 0 0" and not await self._database.fetchval(KNOWN, *key, tenant=tenant_id):
            raise version_not_found(data_id, version)

    async def remove_dependent(self, tenant_id: str, model_id: str, model_version: int) -> None:
        """One that is not there is fine."""
        await self._database.execute(REMOVE, tenant_id, model_id, model_version, tenant=tenant_id)


def _nodes(found: Sequence[Record]) -> Sequence[Node]:
    return [Node(row["kind"], row["id"], row["version"], row["distance"]) for row in found]
