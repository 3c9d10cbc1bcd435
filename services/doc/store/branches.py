"""Branches in SQL. A branch begins with a copy of the heads of its base: names of revisions, not their contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from automesh.storage.postgres import Database, Record
from services.doc.domain.branches.branch import Branch, Sides, Work
from services.doc.domain.errors import BranchInUse, BranchTaken, branch_not_found
from services.doc.store.attachments import COPY_ATTACHMENTS

COUNTED = """
SELECT b.*, heads.document_count, greatest(b.updated_at, heads.moved_at) AS moved_at
  FROM branch b CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE h.deleted_at IS NULL) AS document_count, max(h.updated_at) AS moved_at
         FROM head h WHERE (h.tenant_id, h.space, h.branch) = (b.tenant_id, b.space, b.branch)) heads
"""
GET = """
SELECT b.*, 0 AS document_count, b.updated_at AS moved_at FROM branch b
 WHERE b.tenant_id = $1 AND b.space = $2 AND b.branch = $3
"""
GET_COUNTED = f"{COUNTED} WHERE b.tenant_id = $1 AND b.space = $2 AND b.branch = $3"
LIST = f"""
SELECT * FROM ({COUNTED} WHERE b.tenant_id = $1 AND b.space = $2) b
 WHERE $3::timestamptz IS NULL OR (moved_at, branch) < ($3, $4) ORDER BY moved_at DESC, branch DESC LIMIT $5
"""  # noqa: S608 # made of constants
ADD = "INSERT INTO branch (tenant_id, space, branch, base, created_by) VALUES ($1, $2, $3, $4, $5)"
COPY_HEADS = """
INSERT INTO head (tenant_id, space, branch, document_id, revision_id, began, path, path_key, title, tags, owner,
                  review_at, updated_by, updated_at, deleted_at)
SELECT tenant_id, space, $3, document_id, revision_id, revision_id, path, path_key, title, tags, owner, review_at,
       updated_by, updated_at, deleted_at
  FROM head WHERE tenant_id = $1 AND space = $2 AND branch = $4
"""
COPY_REDIRECTS = """
INSERT INTO redirect (tenant_id, space, branch, path_key, path, document_id)
SELECT tenant_id, space, $3, path_key, path, document_id
  FROM redirect WHERE tenant_id = $1 AND space = $2 AND branch = $4
"""
COPY_LINKS = """
INSERT INTO link (tenant_id, space, branch, document_id, target_key, target, anchor, line, picture)
SELECT tenant_id, space, $3, document_id, target_key, target, anchor, line, picture
  FROM link WHERE tenant_id = $1 AND space = $2 AND branch = $4
"""
COPY_ANCHORS = """
INSERT INTO anchor (tenant_id, document_id, branch, anchors)
SELECT a.tenant_id, a.document_id, $3, a.anchors FROM anchor a JOIN head h USING (document_id, branch)
 WHERE h.tenant_id = $1 AND h.space = $2 AND h.branch = $4
"""
DIFFERING = """
SELECT coalesce(o.document_id, t.document_id) AS document_id, coalesce(o.path, t.path) AS path,
       coalesce(t.path, o.path) AS base_path,
       coalesce(o.revision_id, '') AS head, coalesce(t.revision_id, '') AS base_head,
       o.deleted_at IS NOT NULL AS branch_deleted, t.deleted_at IS NOT NULL AS base_deleted,
       coalesce(o.began, '') AS began
  FROM (SELECT * FROM head WHERE tenant_id = $1 AND space = $2 AND branch = $3) o
  FULL JOIN (SELECT * FROM head WHERE tenant_id = $1 AND space = $2 AND branch = $4) t USING (document_id)
 WHERE o.revision_id IS DISTINCT FROM t.revision_id AND coalesce(o.document_id, t.document_id) > $5
 ORDER BY 1 LIMIT $6
"""
WORK = """
SELECT b.space, b.branch,
       encode(sha256(convert_to(concat(
           (SELECT string_agg(h.document_id || h.revision_id, ' ' ORDER BY h.document_id) FROM head h
             WHERE (h.tenant_id, h.space, h.branch) = (b.tenant_id, b.space, b.branch) AND h.revision_id <> h.began),
           (SELECT max(v.number) FROM attachment_version v
             WHERE (v.tenant_id, v.space, v.branch) = (b.tenant_id, b.space, b.branch) AND NOT v.began)
       ), 'UTF8')), 'hex') AS digest,
       (SELECT coalesce(array_agg(DISTINCT w.name ORDER BY w.name), '{}') FROM (
           SELECT unnest(r.author || r.co_authors) AS name
             FROM head h JOIN revision r ON r.document_id = h.document_id AND r.branch = h.branch
                                        AND r.created_at >= b.created_at
            WHERE (h.tenant_id, h.space, h.branch) = (b.tenant_id, b.space, b.branch) AND h.revision_id <> h.began
           UNION ALL
           SELECT v.created_by FROM attachment_version v
            WHERE (v.tenant_id, v.space, v.branch) = (b.tenant_id, b.space, b.branch) AND NOT v.began
       ) w) AS authors
  FROM branch b WHERE b.tenant_id = $1 AND (b.space, b.branch) IN (SELECT * FROM unnest($2::text[], $3::text[]))
"""
DELETE = "DELETE FROM branch WHERE tenant_id = $1 AND space = $2 AND branch = $3"


class SqlBranchStore:
    """A services.doc.domain.branches.ports.BranchStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tenant_id: str, space: str, branch: str, base: str, created_by: str) -> Branch:
        """The branch with heads, redirects, links, anchors and attachments of its base, of one moment."""
        try:
            async with self._database.transaction(tenant_id) as tx:
                await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                if await tx.fetchrow(GET, tenant_id, space, base) is None:
                    raise branch_not_found(space, base)
                await tx.execute(ADD, tenant_id, space, branch, base, created_by)
                for copy in (COPY_HEADS, COPY_REDIRECTS, COPY_LINKS, COPY_ANCHORS, COPY_ATTACHMENTS):
                    await tx.execute(copy, tenant_id, space, branch, base)
        except (
            asyncpg.UniqueViolationError,
            asyncpg.CheckViolationError,
        ) as error:  # a second main is refused by a CHECK
            raise BranchTaken(
                f"the space {space} has a branch {branch!r} already", space=space, branch=branch
            ) from error
        return await self._one(GET_COUNTED, tenant_id, space, branch)

    async def get(self, tenant_id: str, space: str, branch: str) -> Branch:
        """One row; heads are not looked at."""
        return await self._one(GET, tenant_id, space, branch)

    async def list(
        self, tenant_id: str, space: str, *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Branch]:
        """Keyset by the time of the last change."""
        moved_at, branch = before or (None, "")
        found = await self._database.fetch(LIST, tenant_id, space, moved_at, branch, limit, tenant=tenant_id)
        return [_branch(row) for row in found]

    async def differing(
        self, tenant_id: str, space: str, branch: str, base: str, *, limit: int, after: str
    ) -> Sequence[Sides]:
        """Keyset by document id."""
        found = await self._database.fetch(DIFFERING, tenant_id, space, branch, base, after, limit, tenant=tenant_id)
        return [Sides(**dict(row)) for row in found]

    async def work(self, tenant_id: str, branches: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Work]:
        """One query."""
        spaces, names = [space for space, _ in branches], [name for _, name in branches]
        found = await self._database.fetch(WORK, tenant_id, spaces, names, tenant=tenant_id)
        return {(row["space"], row["branch"]): Work(row["digest"], tuple(row["authors"])) for row in found}

    async def delete(self, tenant_id: str, space: str, branch: str) -> None:
        """Its heads go with it."""
        try:
            await self._database.execute(DELETE, tenant_id, space, branch, tenant=tenant_id)
        except asyncpg.ForeignKeyViolationError as error:
            raise BranchInUse(
                f"a review is open for the branch {branch!r}: merge or close it first", space=space, branch=branch
            ) from error

    async def _one(self, query: str, tenant_id: str, space: str, branch: str) -> Branch:
        row = await self._database.fetchrow(query, tenant_id, space, branch, tenant=tenant_id)
        if row is None:
            raise branch_not_found(space, branch)
        return _branch(row)


def _branch(row: Record) -> Branch:
    return Branch(
        space=row["space"],
        branch=row["branch"],
        base=row["base"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["moved_at"],
        document_count=row["document_count"],
    )
