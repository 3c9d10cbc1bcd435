"""Datasets in SQL."""

from __future__ import annotations

import json
from collections.abc import Sequence

from automesh.storage.postgres import Connection, Database
from services.data.domain.dataset import Dataset, DatasetEdit, DatasetQuery
from services.data.domain.errors import dataset_in_use, dataset_not_found
from services.data.store import rows

GET = "SELECT * FROM dataset WHERE tenant_id = $1 AND data_id = $2"
LIST = """
SELECT * FROM dataset
 WHERE tenant_id = $1
   AND ($2::timestamptz IS NULL OR (updated_at, data_id) < ($2, $3))
   AND ($4 = '' OR position(lower($4) IN lower(name)) > 0)
   AND ($5::jsonb IS NULL OR labels @> $5)
 ORDER BY updated_at DESC, data_id DESC LIMIT $6
"""
EDIT = """
UPDATE dataset SET name = coalesce(nullif($3, ''), name), description = $4, labels = $5, updated_at = now()
 WHERE tenant_id = $1 AND data_id = $2 RETURNING *
"""
LOCK_VERSIONS = "SELECT task_id, state FROM version WHERE data_id = $1 FOR UPDATE"  # waits for dependents being added
DEPENDENTS = """
SELECT 'model ' || model_id || '/' || model_version AS what FROM dependent WHERE data_id = $1
UNION ALL
SELECT 'dataset ' || l.data_id || '/' || l.version FROM lineage l JOIN version v USING (data_id, version)
 WHERE l.kind = 'dataset' AND l.source_id = $1 AND l.data_id <> $1 AND v.state IN ('PROCESSING', 'READY')
 LIMIT $2
"""
DISCARD = """
INSERT INTO discarded_blob (blob, due_at) SELECT blob, now() FROM version_file WHERE data_id = $1
ON CONFLICT (blob) DO UPDATE SET due_at = excluded.due_at
"""
DELETE = "DELETE FROM dataset WHERE data_id = $1"
COUNTED = 1000


class SqlDatasetStore:
    """A services.data.domain.ports.DatasetStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: str, data_id: str) -> Dataset:
        """One row."""
        row = await self._database.fetchrow(GET, tenant_id, data_id, tenant=tenant_id)
        if row is None:
            raise dataset_not_found(data_id)
        return rows.dataset(row)

    async def list(self, tenant_id: str, query: DatasetQuery) -> Sequence[Dataset]:
        """Keyset by the time of the last change."""
        updated_at, data_id = query.before or (None, "")
        label = json.dumps(dict([query.label])) if query.label else None
        found = await self._database.fetch(
            LIST, tenant_id, updated_at, data_id, query.name_contains, label, query.limit, tenant=tenant_id
        )
        return [rows.dataset(row) for row in found]

    async def edit(self, tenant_id: str, data_id: str, edit: DatasetEdit) -> Dataset:
        """One statement."""
        labels = json.dumps(dict(edit.labels))
        row = await self._database.fetchrow(
            EDIT, tenant_id, data_id, edit.name, edit.description, labels, tenant=tenant_id
        )
        if row is None:
            raise dataset_not_found(data_id)
        return rows.dataset(row)

    async def delete(self, tenant_id: str, data_id: str, *, force: bool) -> Sequence[str]:
        """Rows at once; the blobs are swept up later."""
        async with self._database.transaction(tenant_id) as tx:
            if await tx.fetchrow(GET + " FOR UPDATE", tenant_id, data_id) is None:
                raise dataset_not_found(data_id)
            versions = await tx.fetch(LOCK_VERSIONS, data_id)
            if not force:
                await _check_unused(tx, data_id)
            await tx.execute(DISCARD, data_id)
            await tx.execute(DELETE, data_id)
        return [row["task_id"] for row in versions if row["task_id"] and row["state"] == "PROCESSING"]


async def _check_unused(tx: Connection, data_id: str) -> None:
    found = [row["what"] for row in await tx.fetch(DEPENDENTS, data_id, COUNTED)]
    if found:
        raise dataset_in_use(data_id, found)
