"""What listeners read of sites."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from automesh.storage.postgres import ENGINE, Database
from services.doc.domain.publishing.ports import Body, Served
from services.doc.domain.publishing.site import ReleaseFile
from services.doc.store import site_rows as rows
from services.doc.store.site_contents import SqlSiteContents

CURRENT = """
SELECT s.tenant_id, s.space, s.current AS release_id, s.public FROM site s
 WHERE s.tenant_id = $1 AND s.space = $2 AND s.current IS NOT NULL
"""
RELEASE = """
SELECT r.tenant_id, r.space, r.release_id, false AS public FROM release r
 WHERE r.release_id = $1 AND r.state = 'READY'
"""
PUBLIC = "SELECT tenant_id, space FROM site WHERE public AND current IS NOT NULL ORDER BY tenant_id, space LIMIT $1"
FILE = """
SELECT f.*, c.size FROM release_file f JOIN site_content c USING (tenant_id, sha256)
 WHERE f.release_id = $1 AND f.path = $2
"""


class SqlPublishedSites:
    """A services.doc.domain.publishing.ports.PublishedSites."""

    def __init__(self, database: Database, contents: SqlSiteContents) -> None:
        self._database, self._contents = database, contents

    async def current(self, tenant_id: str, space: str) -> Served | None:
        """One row."""
        row = await self._database.fetchrow(CURRENT, tenant_id, space, tenant=tenant_id)
        return Served(**dict(row)) if row else None

    async def preview(self, release_id: str) -> Served | None:
        """One row."""
        row = await self._database.fetchrow(RELEASE, release_id, tenant=ENGINE)
        return Served(**dict(row)) if row else None

    async def public_sites(self, limit: int) -> Sequence[tuple[str, str]]:
        """One query."""
        return [(row["tenant_id"], row["space"]) for row in await self._database.fetch(PUBLIC, limit, tenant=ENGINE)]

    async def file(self, served: Served, path: str) -> ReleaseFile | None:
        """One row."""
        row = await self._database.fetchrow(FILE, served.release_id, path, tenant=served.tenant_id)
        return rows.file(row) if row else None

    async def body(self, tenant_id: str, sha256: str) -> Body:
        """See SqlSiteContents."""
        return await self._contents.body(tenant_id, sha256)

    def chunks(self, body: Body) -> AsyncIterator[bytes]:
        """See SqlSiteContents."""
        return self._contents.chunks(body)
