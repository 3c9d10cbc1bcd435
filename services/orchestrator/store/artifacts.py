"""What is known of artifacts, in SQL. A file becomes visible in the transaction that checks the lease again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from automesh.storage.ledger import KEEP
from automesh.storage.postgres import ENGINE, Database, Record
from services.orchestrator.domain.artifact import Artifact
from services.orchestrator.domain.errors import ArtifactNotFound, lease_lost, task_not_found
from services.orchestrator.domain.lease import LeaseKey

HOLDER = "SELECT tenant_id FROM task WHERE task_id = $1 AND attempt = $2 AND status IN ('OFFERED', 'RUNNING')"
HOLDER_LOCKED = HOLDER + " FOR SHARE"  # the lease cannot end between this check and our commit
RESERVE = "INSERT INTO discarded_blob (blob, due_at) VALUES ($1, now() + $2::interval)"
REPLACED = """
INSERT INTO discarded_blob (blob, due_at) SELECT blob, now() FROM artifact WHERE task_id = $1 AND name = $2
ON CONFLICT (blob) DO UPDATE SET due_at = excluded.due_at
"""
PUT = """
INSERT INTO artifact (tenant_id, task_id, name, content_type, size, sha256, blob, attempt)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (task_id, name) DO UPDATE
   SET content_type = excluded.content_type, size = excluded.size, sha256 = excluded.sha256, blob = excluded.blob,
       attempt = excluded.attempt, created_at = excluded.created_at
RETURNING *
"""
GET = "SELECT * FROM artifact WHERE tenant_id = $1 AND task_id = $2 AND name = $3"
EXISTS = "SELECT 1 FROM task WHERE tenant_id = $1 AND task_id = $2"
LIST = """
SELECT * FROM artifact
 WHERE tenant_id = $1 AND task_id = $2 AND ($3::text IS NULL OR name > $3) ORDER BY name LIMIT $4
"""
DISCARDED = "SELECT blob FROM discarded_blob WHERE due_at <= now() ORDER BY due_at LIMIT $1"
SWEPT = "DELETE FROM discarded_blob WHERE blob = ANY ($1::text[])"


class SqlArtifactStore:
    """A services.orchestrator.domain.ports.ArtifactStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tenant_of(self, lease_key: LeaseKey) -> str:
        """While the lease is good."""
        tenant_id: str | None = await self._database.fetchval(
            HOLDER, lease_key.task_id, lease_key.attempt, tenant=ENGINE
        )
        if tenant_id is None:
            raise lease_lost(lease_key.task_id, lease_key.attempt)
        return tenant_id

    async def reserve(self, blob: str, keep_for: timedelta) -> None:
        """Before the first byte is written."""
        await self._database.execute(RESERVE, blob, keep_for, tenant=None)

    async def put(self, lease_key: LeaseKey, artifact: Artifact) -> Artifact:
        """Replaces an older file of that name, whose blob is swept up later."""
        async with self._database.transaction(ENGINE) as tx:
            tenant_id = await tx.fetchval(HOLDER_LOCKED, lease_key.task_id, lease_key.attempt)
            if tenant_id is None:
                raise lease_lost(lease_key.task_id, lease_key.attempt)
            await tx.execute(REPLACED, lease_key.task_id, artifact.name)
            row = await tx.fetchrow(
                PUT,
                tenant_id,
                lease_key.task_id,
                artifact.name,
                artifact.content_type,
                artifact.size,
                artifact.sha256,
                artifact.blob,
                lease_key.attempt,
            )
            await tx.execute(KEEP, artifact.blob)
        assert row is not None  # noqa: S101 # INSERT ... RETURNING
        return _artifact(row)

    async def get(self, tenant_id: str, task_id: str, name: str) -> Artifact:
        """One row."""
        row = await self._database.fetchrow(GET, tenant_id, task_id, name, tenant=tenant_id)
        if row is None:
            raise ArtifactNotFound(f"task {task_id!r} has no artifact {name!r}", taskId=task_id, name=name)
        return _artifact(row)

    async def list(self, tenant_id: str, task_id: str, *, limit: int, after: str | None) -> Sequence[Artifact]:
        """Keyset by name."""
        async with self._database.transaction(tenant_id) as tx:
            if await tx.fetchval(EXISTS, tenant_id, task_id) is None:
                raise task_not_found(task_id)
            rows = await tx.fetch(LIST, tenant_id, task_id, after, limit)
        return [_artifact(row) for row in rows]

    async def discarded(self, limit: int) -> Sequence[str]:
        """Those whose time has come."""
        rows = await self._database.fetch(DISCARDED, limit, tenant=None)
        return [row["blob"] for row in rows]

    async def swept(self, blobs: Collection[str]) -> None:
        """Forgets them."""
        await self._database.execute(SWEPT, list(blobs), tenant=None)


def _artifact(row: Record) -> Artifact:
    return Artifact(
        task_id=row["task_id"],
        name=row["name"],
        content_type=row["content_type"],
        size=row["size"],
        sha256=row["sha256"],
        blob=row["blob"],
        created_at=row["created_at"],
    )
