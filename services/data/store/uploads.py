"""Uploads in SQL."""

from __future__ import annotations

from automesh.storage.ledger import KEEP
from automesh.storage.postgres import ENGINE, Database
from services.data.domain.errors import quota_exceeded, upload_not_found
from services.data.domain.upload import Upload
from services.data.store import rows

USED = """
SELECT coalesce((SELECT sum(size) FROM upload WHERE tenant_id = $1), 0)
     + coalesce((SELECT sum(size) FROM version WHERE tenant_id = $1), 0)
"""
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('data.quota.' || $1, 0))"
PUT = """
INSERT INTO upload (upload_id, tenant_id, name, format, size, sha256, blob, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now() + $9::interval) RETURNING *
"""
GET = """
SELECT * FROM upload u WHERE tenant_id = $1 AND upload_id = $2
   AND (expires_at > now()
        OR EXISTS (SELECT 1 FROM version v WHERE v.upload_id = u.upload_id AND v.state = 'PROCESSING'))
"""
EXPIRE = """
WITH gone AS (
    DELETE FROM upload WHERE upload_id IN (
        SELECT upload_id FROM upload u WHERE expires_at <= now()
           AND NOT EXISTS (SELECT 1 FROM version v WHERE v.upload_id = u.upload_id AND v.state = 'PROCESSING')
         ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING blob),
swept AS (INSERT INTO discarded_blob (blob, due_at) SELECT blob, now() FROM gone
          ON CONFLICT (blob) DO UPDATE SET due_at = excluded.due_at)
SELECT count(*) FROM gone
"""


class SqlUploadStore:
    """A services.data.domain.ports.UploadStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def used(self, tenant_id: str) -> int:
        """Over two covering indexes."""
        return int(await self._database.fetchval(USED, tenant_id, tenant=tenant_id))

    async def put(self, upload: Upload, *, quota: int) -> Upload:
        """Uploads of one tenant are admitted one after the other, so that together they keep the quota."""
        keep_for = upload.expires_at - upload.created_at
        told = (upload.name, upload.format, upload.size, upload.sha256, upload.blob, upload.created_by, keep_for)
        async with self._database.transaction(upload.tenant_id) as tx:
            await tx.execute(LOCK, upload.tenant_id)
            used = int(await tx.fetchval(USED, upload.tenant_id))
            if used + upload.size > quota:
                raise quota_exceeded(used, quota)
            row = await tx.fetchrow(PUT, upload.upload_id, upload.tenant_id, *told)
            await tx.execute(KEEP, upload.blob)
        assert row is not None  # noqa: S101 # INSERT ... RETURNING
        return rows.upload(row)

    async def get(self, tenant_id: str, upload_id: str) -> Upload:
        """One row."""
        row = await self._database.fetchrow(GET, tenant_id, upload_id, tenant=tenant_id)
        if row is None:
            raise upload_not_found(upload_id)
        return rows.upload(row)

    async def expire(self, limit: int) -> int:
        """Their blobs are swept up later."""
        count: int = await self._database.fetchval(EXPIRE, limit, tenant=ENGINE)
        return count
