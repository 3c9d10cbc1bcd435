"""Bytes of published files: by their SHA-256, sealed; small ones in SQL, large ones in the blob store."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta

from automesh.core.errors import AutomationError
from automesh.storage.blobs import BlobStore
from automesh.storage.ledger import KEEP, SqlBlobLedger
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Sealer, place
from services.doc.domain.publishing.ports import Body, Read
from services.doc.domain.publishing.site import ReleaseFile

SMALL = 512 * 1024
"""Larger files are blobs."""
BATCH_BYTES = 4 * 1024 * 1024
TOUCHED_FOR_S = 3600.0
"""Longer than any build: so long nothing is swept that it has kept and not referred to yet."""
RESERVED_FOR = timedelta(hours=2)
"""So long a blob may take to become part of a release; one whose process was killed goes after that."""
SWEPT_AT_ONCE = 500
GZIP_LEVEL = 6
_COMPRESSIBLE = ("text/", "application/json", "application/xml", "image/svg+xml")

TOUCH = """
UPDATE site_content SET touched_at = now() WHERE tenant_id = $1 AND sha256 = ANY($2) RETURNING sha256
"""
INSERT = """
INSERT INTO site_content (tenant_id, sha256, size, gzip, bytes)
SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bool[], $5::bytea[])
ON CONFLICT (tenant_id, sha256) DO UPDATE SET touched_at = now()
"""
INSERT_BLOB = """
INSERT INTO site_content (tenant_id, sha256, size, blob) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, sha256) DO UPDATE SET touched_at = now() RETURNING blob
"""
BODY = "SELECT gzip, bytes, blob FROM site_content WHERE tenant_id = $1 AND sha256 = $2"
SWEEP = """
WITH gone AS (
    DELETE FROM site_content WHERE (tenant_id, sha256) IN (
        SELECT c.tenant_id, c.sha256 FROM site_content c
         WHERE c.touched_at < now() - make_interval(secs => $1)
           AND NOT EXISTS (SELECT FROM release_file f WHERE f.tenant_id = c.tenant_id AND f.sha256 = c.sha256)
         ORDER BY c.touched_at LIMIT $2 FOR UPDATE SKIP LOCKED)
       AND touched_at < now() - make_interval(secs => $1)
    RETURNING blob),
told AS (INSERT INTO discarded_blob (blob, due_at) SELECT blob, now() FROM gone WHERE blob IS NOT NULL)
SELECT count(*) FROM gone
"""


class FileDamaged(AutomationError):
    """A published file is not what its hash says, or gone. Publish again."""

    reason = "SITE_FILE_DAMAGED"


class SqlSiteContents:
    """A services.doc.domain.publishing.ports.SiteContents; listeners read from it, too."""

    def __init__(self, database: Database, sealer: Sealer, blobs: BlobStore, make_id: Callable[[str], str]) -> None:
        self._database, self._sealer, self._blobs, self._make_id = database, sealer, blobs, make_id
        self._ledger = SqlBlobLedger(database)

    async def keep(self, tenant_id: str, files: Sequence[ReleaseFile], read: Read) -> None:
        """Equal files are kept once a tenant."""
        by_hash = {file.sha256: file for file in files}
        there = await self._database.fetch(TOUCH, tenant_id, list(by_hash), tenant=tenant_id)
        missing = [by_hash[each] for each in by_hash.keys() - {row["sha256"] for row in there}]
        batch: list[tuple[str, int, bool, bytes]] = []
        for file in sorted(missing, key=lambda each: each.path):
            if file.size > SMALL:
                await self._keep_blob(tenant_id, file, read)
                continue
            content = b"".join([chunk async for chunk in read(file)])
            batch.append(await asyncio.to_thread(self._sealed, tenant_id, file, content))
            if sum(len(each[3]) for each in batch) > BATCH_BYTES:
                await self._insert(tenant_id, batch)
                batch = []
        await self._insert(tenant_id, batch)

    async def sweep(self) -> int:
        """At most 500; blobs are in the ledger then, and go with all others."""
        return int(await self._database.fetchval(SWEEP, TOUCHED_FOR_S, SWEPT_AT_ONCE, tenant=ENGINE))

    async def body(self, tenant_id: str, sha256: str) -> Body:
        """One row; of a large file only where it is. Raises FileDamaged."""
        row = await self._database.fetchrow(BODY, tenant_id, sha256, tenant=tenant_id)
        if row is None:
            raise FileDamaged(f"the published file {sha256[:12]}... is gone: publish again", sha256=sha256)
        if row["blob"]:
            return Body(None, False, row["blob"])
        return Body(self._sealer.unseal(row["bytes"], place("doc", tenant_id, "site", sha256)), row["gzip"])

    async def chunks(self, body: Body) -> AsyncIterator[bytes]:
        """Of a large file."""
        async for chunk in self._blobs.get(body.blob):
            yield chunk

    def _sealed(self, tenant_id: str, file: ReleaseFile, content: bytes) -> tuple[str, int, bool, bytes]:
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise FileDamaged(f"{file.path} is another than its hash says", path=file.path)
        packed = file.content_type.startswith(_COMPRESSIBLE)
        bytes_ = gzip.compress(content, GZIP_LEVEL, mtime=0) if packed else content
        return file.sha256, file.size, packed, self._sealer.seal(bytes_, place("doc", tenant_id, "site", file.sha256))

    async def _insert(self, tenant_id: str, batch: Sequence[tuple[str, int, bool, bytes]]) -> None:
        if batch:
            columns = [list(column) for column in zip(*batch, strict=True)]
            await self._database.execute(INSERT, tenant_id, *columns, tenant=tenant_id)

    async def _keep_blob(self, tenant_id: str, file: ReleaseFile, read: Read) -> None:
        blob = f"doc/sites/{self._make_id('file')}"
        await self._ledger.reserve(blob, RESERVED_FOR)
        stored = await self._blobs.put(blob, read(file))
        if stored.sha256 != file.sha256:
            raise FileDamaged(f"{file.path} is another than its hash says", path=file.path)
        async with self._database.transaction(tenant_id) as tx:
            if await tx.fetchval(INSERT_BLOB, tenant_id, file.sha256, file.size, blob) == blob:
                await tx.execute(KEEP, blob)
