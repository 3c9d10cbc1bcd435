"""What deleted things left behind, in SQL: blobs to be removed, and models the data service has still to be told of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from automesh.storage.postgres import ENGINE, Database

DISCARDED = "SELECT blob FROM discarded_blob WHERE due_at <= now() ORDER BY due_at, blob LIMIT $1"
SWEPT = "DELETE FROM discarded_blob WHERE blob = ANY ($1::text[]) AND due_at <= now()"
RELEASED = """
UPDATE released_model AS r SET due_at = now() + $2::interval
  FROM (SELECT model_id FROM released_model WHERE due_at <= now() ORDER BY due_at LIMIT $1
          FOR UPDATE SKIP LOCKED) AS due
 WHERE r.model_id = due.model_id
RETURNING r.tenant_id, r.model_id
"""
TOLD = "DELETE FROM released_model WHERE model_id = $1"


class SqlDiscards:
    """A services.model.domain.upkeep.Discards."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def blobs(self, limit: int) -> Sequence[str]:
        """Those whose time has come."""
        return [row["blob"] for row in await self._database.fetch(DISCARDED, limit, tenant=ENGINE)]

    async def swept(self, blobs: Collection[str]) -> None:
        """Forgets them."""
        await self._database.execute(SWEPT, list(blobs), tenant=ENGINE)

    async def released(self, *, limit: int, again_in: timedelta) -> Sequence[tuple[str, str]]:
        """Tenants and ids of deleted models; each comes again unless `told` is called."""
        found = await self._database.fetch(RELEASED, limit, again_in, tenant=ENGINE)
        return [(row["tenant_id"], row["model_id"]) for row in found]

    async def told(self, model_id: str) -> None:
        """The data service knows."""
        await self._database.execute(TOLD, model_id, tenant=ENGINE)
