"""What search indexes are made of, in SQL, over all tenants."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.storage.postgres import ENGINE, Database
from services.doc.domain.documents.document import Head
from services.doc.domain.spaces.space import MAIN
from services.doc.store import rows
from services.doc.store.writes import HEAD

TENANTS = "SELECT DISTINCT tenant_id FROM space ORDER BY tenant_id"
SPACES = "SELECT space FROM space WHERE tenant_id = $1 ORDER BY space"
HEADS = f"{HEAD} WHERE h.tenant_id = $1 AND h.document_id = ANY($2) AND h.branch = $3 AND h.deleted_at IS NULL"
IDS = "SELECT document_id FROM head WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND deleted_at IS NULL"
LAST_NUMBER = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('change', 'sequence')::regclass), 0)"


class SqlSources:
    """A services.doc.domain.search.following.Sources."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tenants(self) -> Sequence[str]:
        """One query."""
        return [row["tenant_id"] for row in await self._database.fetch(TENANTS, tenant=ENGINE)]

    async def spaces(self, tenant_id: str) -> Sequence[str]:
        """One query."""
        return [row["space"] for row in await self._database.fetch(SPACES, tenant_id, tenant=tenant_id)]

    async def heads(self, tenant_id: str, document_ids: Sequence[str]) -> Sequence[Head]:
        """One query."""
        if not document_ids:
            return []
        found = await self._database.fetch(HEADS, tenant_id, list(document_ids), MAIN, tenant=tenant_id)
        return [rows.head(row) for row in found]

    async def document_ids(self, tenant_id: str, space: str) -> Sequence[str]:
        """One query."""
        found = await self._database.fetch(IDS, tenant_id, space, MAIN, tenant=tenant_id)
        return [row["document_id"] for row in found]

    async def last_number(self) -> int:
        """One value."""
        return int(await self._database.fetchval(LAST_NUMBER, tenant=ENGINE))
