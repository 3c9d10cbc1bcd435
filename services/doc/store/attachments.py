"""Attachments in SQL: heads by path, versions beside them, contents once a tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import asyncpg

from automesh.storage.ledger import KEEP
from automesh.storage.postgres import ENGINE, Connection, Database, Record
from services.doc.domain.attachments.attachment import (
    Attachment,
    Merged,
    NewAttachment,
    StoredBlob,
    folder_keys,
)
from services.doc.domain.attachments.errors import (
    AttachmentNotFound,
    attachment_changed,
    attachment_not_found,
    quota_exceeded,
)
from services.doc.domain.documents.path import key
from services.doc.domain.errors import branch_not_found, path_taken, revision_not_found

USED = "SELECT coalesce(sum(size), 0) FROM attachment_blob WHERE tenant_id = $1"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('doc.attachments.' || $1, 0))"
PUT_BLOB = """
INSERT INTO attachment_blob (tenant_id, sha256, size, blob) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, sha256) DO UPDATE SET touched_at = now() RETURNING blob
"""
DISCARD = "UPDATE discarded_blob SET due_at = now() WHERE blob = $1"
GET = "SELECT * FROM attachment WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND path_key = $4"
IN_THE_WAY = """
SELECT path FROM head WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND deleted_at IS NULL
   AND (path_key = ANY($5) OR path_key = $4 OR (path_key > $4 || '/' AND path_key < $4 || '0'))
UNION ALL
SELECT path FROM attachment WHERE tenant_id = $1 AND space = $2 AND branch = $3
   AND (path_key = ANY($5) OR (path_key > $4 || '/' AND path_key < $4 || '0'))
LIMIT 1
"""
PUT = """
INSERT INTO attachment (tenant_id, space, branch, path, path_key, content_type, size, sha256, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, space, branch, path_key) DO UPDATE
   SET content_type = excluded.content_type, size = excluded.size, sha256 = excluded.sha256,
       created_by = excluded.created_by, created_at = now()
RETURNING *
"""
VERSION = """
INSERT INTO attachment_version (tenant_id, space, branch, path, path_key, content_type, size, sha256, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
REVISION = """
SELECT r.branch, r.created_at FROM revision r JOIN document d USING (document_id)
 WHERE r.tenant_id = $1 AND d.space = $2 AND r.revision_id = $3
"""
SHOWN = """
SELECT * FROM attachment_version
 WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND path_key = $4 AND created_at <= $5 ORDER BY number DESC LIMIT 1
"""
LIST = """
SELECT * FROM attachment WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND path > $5
   AND ($4 = '' OR starts_with(path, $4)) ORDER BY path LIMIT $6
"""
DELETE = "DELETE FROM attachment WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND path_key = $4 RETURNING *"
EVER = """
SELECT EXISTS (SELECT FROM attachment_version WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND path_key = $4)
"""
BLOB = "SELECT blob, size FROM attachment_blob WHERE tenant_id = $1 AND sha256 = $2"
DISCARD_ORPHANS = """
WITH orphan AS (
    SELECT tenant_id, sha256 FROM attachment_blob b WHERE touched_at < now() - $1::interval
       AND NOT EXISTS (SELECT FROM attachment_version v WHERE (v.tenant_id, v.sha256) = (b.tenant_id, b.sha256))
       AND NOT EXISTS (SELECT FROM attachment a WHERE (a.tenant_id, a.sha256) = (b.tenant_id, b.sha256))
     ORDER BY touched_at LIMIT $2 FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM attachment_blob b USING orphan o
          WHERE (b.tenant_id, b.sha256) = (o.tenant_id, o.sha256) RETURNING b.blob),
told AS (INSERT INTO discarded_blob (blob, due_at) SELECT blob, now() FROM gone
         ON CONFLICT (blob) DO UPDATE SET due_at = excluded.due_at)
SELECT count(*) FROM gone
"""
COPY_ATTACHMENTS = """
WITH copied AS (
    INSERT INTO attachment (tenant_id, space, branch, path, path_key, content_type, size, sha256, created_by,
                            created_at)
    SELECT tenant_id, space, $3, path, path_key, content_type, size, sha256, created_by, created_at
      FROM attachment WHERE tenant_id = $1 AND space = $2 AND branch = $4 RETURNING *)
INSERT INTO attachment_version (tenant_id, space, branch, path, path_key, content_type, size, sha256, began, created_by)
SELECT tenant_id, space, branch, path, path_key, content_type, size, sha256, true, created_by FROM copied
"""
"""What a new branch $3 takes over from $4."""

CHANGED = """
WITH latest AS (
    SELECT DISTINCT ON (path_key) * FROM attachment_version
     WHERE tenant_id = $1 AND space = $2 AND branch = $3 ORDER BY path_key, number DESC),
began AS (SELECT path_key, sha256 FROM attachment_version
           WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND began)
SELECT l.path, l.path_key, l.content_type, l.size, l.sha256, b.sha256 AS before, t.sha256 AS there
  FROM latest l LEFT JOIN began b USING (path_key)
  LEFT JOIN attachment t ON t.tenant_id = $1 AND t.space = $2 AND t.branch = $4 AND t.path_key = l.path_key
 WHERE NOT l.began AND l.sha256 IS DISTINCT FROM b.sha256 AND l.sha256 IS DISTINCT FROM t.sha256
 ORDER BY l.path
"""


class SqlAttachmentStore:
    """A services.doc.domain.attachments.ports.AttachmentStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def used(self, tenant_id: str) -> int:
        """Over a covering index."""
        return int(await self._database.fetchval(USED, tenant_id, tenant=tenant_id))

    async def put(self, new: NewAttachment, *, quota: int) -> Attachment:
        """Files of one tenant are admitted one after the other, so that together they keep the quota."""
        try:
            async with self._database.transaction(new.tenant_id) as tx:
                await tx.execute(LOCK, new.tenant_id)
                await _keep_blob(tx, new, quota)
                return await _put(tx, new)
        except asyncpg.ForeignKeyViolationError as error:
            raise branch_not_found(new.space, new.branch) from error

    async def get(self, tenant_id: str, space: str, branch: str, path: str) -> Attachment:
        """One row."""
        row = await self._database.fetchrow(GET, tenant_id, space, branch, key(path), tenant=tenant_id)
        if row is None:
            raise attachment_not_found(path, space)
        return _attachment(row)

    async def shown(self, tenant_id: str, space: str, path: str, revision_id: str) -> Attachment:
        """The last version before the revision."""
        revision = await self._database.fetchrow(REVISION, tenant_id, space, revision_id, tenant=tenant_id)
        if revision is None:
            raise revision_not_found(revision_id)
        where = (tenant_id, space, revision["branch"], key(path), revision["created_at"])
        row = await self._database.fetchrow(SHOWN, *where, tenant=tenant_id)
        if row is None or row["sha256"] is None:
            raise attachment_not_found(path, space)
        return _attachment(row)

    async def list(
        self, tenant_id: str, space: str, branch: str, *, prefix: str, limit: int, after: str
    ) -> Sequence[Attachment]:
        """Keyset by path."""
        found = await self._database.fetch(LIST, tenant_id, space, branch, prefix, after, limit, tenant=tenant_id)
        return [_attachment(row) for row in found]

    async def delete(self, tenant_id: str, space: str, branch: str, path: str, user: str) -> None:
        """A version without content stays behind."""
        where = (tenant_id, space, branch, key(path))
        async with self._database.transaction(tenant_id) as tx:
            row = await tx.fetchrow(DELETE, *where)
            if row is not None:
                await _leave(tx, row, user)
            elif not await tx.fetchval(EVER, *where):
                raise attachment_not_found(path, space)

    async def blob(self, tenant_id: str, sha256: str) -> StoredBlob:
        """One row."""
        row = await self._database.fetchrow(BLOB, tenant_id, sha256, tenant=tenant_id)
        if row is None:
            raise AttachmentNotFound(f"there is no file with the SHA-256 {sha256[:80]}", sha256=sha256[:80])
        return StoredBlob(row["blob"], row["size"])

    async def discard_orphans(self, keep_for: timedelta, limit: int) -> int:
        """Of all tenants."""
        return int(await self._database.fetchval(DISCARD_ORPHANS, keep_for, limit, tenant=ENGINE))


async def merge_in(tx: Connection, source: tuple[str, str, str], target: str, user: str) -> Merged:
    """Brings to `target` what `source` (tenant, space, branch) has changed since it began; where both did, what
    `source` has. In the transaction of the review that is merged."""
    tenant_id, space, branch = source
    await tx.execute(LOCK, tenant_id)
    changed = await tx.fetch(CHANGED, tenant_id, space, branch, target)
    for row in changed:
        await _bring(tx, row, (tenant_id, space, target), user)
    return Merged(
        paths=[row["path"] for row in changed],
        conflicts=[row["path"] for row in changed if row["there"] != row["before"]],
    )


async def _keep_blob(tx: Connection, new: NewAttachment, quota: int) -> None:
    """Of equal contents the first one stays."""
    kept = await tx.fetchval(PUT_BLOB, new.tenant_id, new.sha256, new.size, new.blob)
    if kept != new.blob:
        await tx.execute(DISCARD, new.blob)
        return
    used = int(await tx.fetchval(USED, new.tenant_id))
    if used > quota:
        raise quota_exceeded(used - new.size, quota)
    await tx.execute(KEEP, new.blob)


async def _put(tx: Connection, new: NewAttachment) -> Attachment:
    where = (new.tenant_id, new.space, new.branch)
    now = await tx.fetchrow(f"{GET} FOR UPDATE", *where, key(new.path))
    if now is not None and now["path"] != new.path:
        raise path_taken(new.path, now["path"])
    if now is not None and now["sha256"] == new.sha256:
        return _attachment(now)
    there = now["sha256"] if now else ""
    if there != new.expected:
        raise attachment_changed(new.path, there)
    if now is None:
        taken = await tx.fetchval(IN_THE_WAY, *where, key(new.path), folder_keys(new.path))
        if taken is not None:
            raise path_taken(new.path, taken)
    values = (*where, new.path, key(new.path), new.content_type, new.size, new.sha256, new.created_by)
    row = await tx.fetchrow(PUT, *values)
    await tx.execute(VERSION, *values)
    assert row is not None  # noqa: S101 - INSERT ... RETURNING
    return _attachment(row)


async def _leave(tx: Connection, row: Record, user: str) -> None:
    where = (row["tenant_id"], row["space"], row["branch"], row["path"], row["path_key"])
    await tx.execute(VERSION, *where, row["content_type"], 0, None, user)


async def _bring(tx: Connection, row: Record, target: tuple[str, str, str], user: str) -> None:
    if row["sha256"] is None:
        gone = await tx.fetchrow(DELETE, *target, row["path_key"])
        if gone is not None:
            await _leave(tx, gone, user)
        return
    values = (*target, row["path"], row["path_key"], row["content_type"], row["size"], row["sha256"], user)
    await tx.execute(PUT, *values)
    await tx.execute(VERSION, *values)


def _attachment(row: Record) -> Attachment:
    return Attachment(
        tenant_id=row["tenant_id"],
        space=row["space"],
        branch=row["branch"],
        path=row["path"],
        content_type=row["content_type"],
        size=row["size"],
        sha256=row["sha256"],
        created_by=row["created_by"],
        created_at=row["created_at"],
    )
