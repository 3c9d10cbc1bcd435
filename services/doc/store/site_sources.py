"""What sites are built of: one moment of a branch."""

from __future__ import annotations

from automesh.storage.postgres import Database
from services.doc.domain.errors import branch_not_found, space_not_found
from services.doc.domain.publishing.ports import SiteSource

SPACE = """
SELECT s.title, s.description, i.title AS site_title, i.theme, i.accent
  FROM space s LEFT JOIN site i USING (tenant_id, space) WHERE s.tenant_id = $1 AND s.space = $2
"""
BRANCH = "SELECT 1 FROM branch WHERE tenant_id = $1 AND space = $2 AND branch = $3"
PAGES = """
SELECT h.path, h.title, h.tags, h.updated_at, r.sha256, r.size FROM head h JOIN revision r USING (revision_id)
 WHERE h.tenant_id = $1 AND h.space = $2 AND h.branch = $3 AND h.deleted_at IS NULL ORDER BY h.path
"""
MOVED = """
SELECT m.path, h.path AS target FROM redirect m JOIN head h ON h.document_id = m.document_id AND h.branch = m.branch
 WHERE m.tenant_id = $1 AND m.space = $2 AND m.branch = $3 AND h.deleted_at IS NULL ORDER BY m.path
"""


class SqlSiteSources:
    """A services.doc.domain.publishing.ports.SiteSources."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, tenant_id: str, space: str, branch: str) -> SiteSource:
        """One snapshot."""
        where = (tenant_id, space, branch)
        async with self._database.transaction(tenant_id) as tx:
            await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            told = await tx.fetchrow(SPACE, tenant_id, space)
            if told is None:
                raise space_not_found(space)
            if not await tx.fetchval(BRANCH, *where):
                raise branch_not_found(space, branch)
            pages, moved = await tx.fetch(PAGES, *where), await tx.fetch(MOVED, *where)
        return SiteSource(
            title=told["site_title"] or told["title"] or space,
            description=told["description"],
            theme=told["theme"] or "auto",
            accent=told["accent"] or "",
            pages=[
                {
                    "path": row["path"],
                    "title": row["title"],
                    "tags": list(row["tags"]),
                    "updated": row["updated_at"].date().isoformat(),
                }
                for row in pages
            ],
            texts=[(row["sha256"], row["size"]) for row in pages],
            moved=[{"path": row["path"], "to": row["target"]} for row in moved],
        )
