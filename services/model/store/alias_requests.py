"""Aliases that new versions ask for, in SQL. One that a replica decides is out of sight of the others for a while."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from automesh.storage.postgres import ENGINE, Database
from services.model.domain.registry.moves import AliasRequest
from services.model.store import model_rows as rows

TAKE = """
UPDATE alias_request AS r SET due_at = now() + $2::interval, tries = r.tries + 1
  FROM (SELECT model_id, version, alias FROM alias_request
         WHERE due_at <= now() AND ($3 = '' OR model_id = $3)
         ORDER BY due_at, model_id, version, alias LIMIT $1 FOR UPDATE SKIP LOCKED) AS due
 WHERE r.model_id = due.model_id AND r.version = due.version AND r.alias = due.alias
RETURNING r.*
"""
SETTLE = "DELETE FROM alias_request WHERE model_id = $1 AND version = $2 AND alias = $3"


class SqlAliasRequests:
    """A services.model.domain.registry_ports.AliasRequests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, *, limit: int, hold_for: timedelta, model_id: str = "") -> Sequence[AliasRequest]:
        """Of all tenants."""
        found = await self._database.fetch(TAKE, limit, hold_for, model_id, tenant=ENGINE)
        return sorted((rows.request(row) for row in found), key=lambda each: (each.model_id, each.version, each.alias))

    async def settle(self, request: AliasRequest) -> None:
        """Forgets it."""
        place = (request.model_id, request.version, request.alias)
        await self._database.execute(SETTLE, *place, tenant=request.tenant_id)
