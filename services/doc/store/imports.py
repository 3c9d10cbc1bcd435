"""What imports remember, and how they write: a batch, its bases and the job's progress are one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from automesh.storage.postgres import Connection, Database, Record
from services.doc.domain.documents.document import Head, Revision
from services.doc.domain.documents.path import key
from services.doc.domain.jobs.job import Job, Sight
from services.doc.domain.transfer.deciding import Place
from services.doc.domain.transfer.ports import Commit
from services.doc.store import rows
from services.doc.store.contents import SqlContents
from services.doc.store.jobs import SqlJobStore
from services.doc.store.writes import HEAD, SqlWrites

STANDING = """
SELECT h.document_id, h.revision_id, h.path, r.sha256, h.updated_by, h.deleted_at
  FROM head h JOIN revision r USING (revision_id)
 WHERE h.tenant_id = $1 AND h.space = $2 AND h.branch = $3 AND ($4 = '' OR starts_with(h.path_key, $4))
 ORDER BY h.deleted_at NULLS FIRST
"""
BASES = """
SELECT path_key, sha256 FROM import_base
 WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND ($4 = '' OR starts_with(path_key, $4))
"""
WRITTEN = """
SELECT DISTINCT r.document_id, r.sha256 FROM revision r
  JOIN unnest($2::text[], $3::text[]) c (document_id, sha256) USING (document_id, sha256)
 WHERE r.tenant_id = $1
"""
LAST_COMMIT = """
SELECT commit FROM import_commit WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND prefix = $4 AND root = $5
"""
KNOWN = "SELECT sha256 FROM content WHERE tenant_id = $1 AND sha256 = ANY($2)"
BRING = """
INSERT INTO import_base (tenant_id, space, branch, path_key, sha256)
SELECT $1, $2, $3, * FROM unnest($4::text[], $5::text[])
ON CONFLICT (tenant_id, space, branch, path_key) DO UPDATE SET sha256 = excluded.sha256
"""
FORGET = "DELETE FROM import_base WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND path_key = ANY($4)"
SET_COMMIT = """
INSERT INTO import_commit (tenant_id, space, branch, prefix, root, commit) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, space, branch, prefix, root) DO UPDATE SET commit = excluded.commit
"""
EXPORTED = """
{HEAD} WHERE h.tenant_id = $1 AND h.space = $2 AND h.branch = $3 AND ($4 = '' OR starts_with(h.path, $4))
 ORDER BY h.path, h.document_id LIMIT $5
""".replace("{HEAD}", HEAD)
LINE = """
WITH RECURSIVE line AS (
    SELECT revision_id, parents FROM revision WHERE tenant_id = $1 AND revision_id = ANY($2)
    UNION
    SELECT r.revision_id, r.parents FROM line JOIN revision r ON r.tenant_id = $1 AND r.revision_id = line.parents[1]
)
SELECT r.* FROM line JOIN revision r USING (revision_id) ORDER BY r.number LIMIT $3
"""
MAX_LINE = 200_001


class SqlImportStore:
    """A services.doc.domain.transfer.ports.ImportStore."""

    def __init__(
        self, database: Database, writes: SqlWrites, contents: SqlContents, jobs: SqlJobStore, *, lease_s: float
    ) -> None:
        self._database, self._writes, self._contents = database, writes, contents
        self._jobs, self._lease_s = jobs, lease_s

    async def standing(self, tenant_id: str, space: str, branch: str, prefix: str) -> Sequence[Place]:
        """One query."""
        found = await self._database.fetch(STANDING, tenant_id, space, branch, key(prefix), tenant=tenant_id)
        return [_place(row) for row in found]

    async def bases(self, tenant_id: str, space: str, branch: str, prefix: str) -> Mapping[str, str]:
        """One query."""
        found = await self._database.fetch(BASES, tenant_id, space, branch, key(prefix), tenant=tenant_id)
        return {row["path_key"]: row["sha256"] for row in found}

    async def written(self, tenant_id: str, contents: Collection[tuple[str, str]]) -> Collection[tuple[str, str]]:
        """One query."""
        documents, hashes = [each[0] for each in contents], [each[1] for each in contents]
        found = await self._database.fetch(WRITTEN, tenant_id, documents, hashes, tenant=tenant_id)
        return {(row["document_id"], row["sha256"]) for row in found}

    async def last_commit(self, tenant_id: str, space: str, branch: str, prefix: str, root: str) -> str:
        """One value."""
        found = await self._database.fetchval(LAST_COMMIT, tenant_id, space, branch, prefix, root, tenant=tenant_id)
        return str(found or "")

    async def known(self, tenant_id: str, hashes: Collection[str]) -> Collection[str]:
        """One query."""
        found = await self._database.fetch(KNOWN, tenant_id, list(hashes), tenant=tenant_id)
        return {row["sha256"] for row in found}

    async def commit(
        self, job: Job, branch: str, place: tuple[str, str], commit: Commit, sight: Sight
    ) -> Sequence[Head]:
        """The job's row comes first: a worker that has lost it writes nothing."""
        prepared = await self._writes.prepare(commit.writes)
        async with self._writes.explaining(), self._database.transaction(job.tenant_id) as tx:
            await self._jobs.tell_in(tx, job.job_id, job.attempt, sight, self._lease_s)
            heads = await self._writes.write_in(tx, prepared)
            for content in commit.kept:
                await self._contents.put(tx, job.tenant_id, content)
            await _remember(tx, (job.tenant_id, job.space, branch), commit, place)
        self._writes.remember(prepared)
        return heads


class SqlHistoryStore:
    """A services.doc.domain.transfer.ports.HistoryStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heads(self, tenant_id: str, space: str, branch: str, prefix: str, limit: int) -> Sequence[Head]:
        """One query."""
        found = await self._database.fetch(EXPORTED, tenant_id, space, branch, prefix, limit, tenant=tenant_id)
        return [rows.head(row) for row in found]

    async def line(self, tenant_id: str, head_ids: Sequence[str]) -> Sequence[Revision]:
        """One query."""
        found = await self._database.fetch(LINE, tenant_id, list(head_ids), MAX_LINE, tenant=tenant_id)
        return [rows.revision(row) for row in found]


async def _remember(tx: Connection, where: tuple[str, str, str], commit: Commit, place: tuple[str, str]) -> None:
    brought = {key(path): sha256 for path, sha256 in commit.bases.items()}
    gone = [at for at, sha256 in brought.items() if not sha256]
    kept = {at: sha256 for at, sha256 in brought.items() if sha256}
    if gone:
        await tx.execute(FORGET, *where, gone)
    if kept:
        await tx.execute(BRING, *where, list(kept), list(kept.values()))
    if commit.commit:
        await tx.execute(SET_COMMIT, *where, *place, commit.commit)


def _place(row: Record) -> Place:
    return Place(
        document_id=row["document_id"],
        revision_id=row["revision_id"],
        path=row["path"],
        sha256=row["sha256"],
        updated_by=row["updated_by"],
        deleted=row["deleted_at"] is not None,
    )
