"""Documents in SQL. A write is one transaction; its fence is the expected revision in the WHERE of the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from automesh.storage.postgres import ENGINE, Database, row_count
from services.doc.domain.documents.document import Document, DocumentQuery, Head, Revision, Write
from services.doc.domain.documents.graph import Graph, Node
from services.doc.domain.documents.path import key
from services.doc.domain.documents.text import Text
from services.doc.domain.errors import DocumentNotFound, document_not_found, revision_not_found
from services.doc.domain.spaces.space import TRASH_FOR
from services.doc.store import rows
from services.doc.store.contents import SqlContents
from services.doc.store.writes import GET, HEAD, SqlWrites

AT_PATH = (
    f"{HEAD} WHERE h.tenant_id = $1 AND h.space = $2 AND h.branch = $3 AND h.path_key = $4 AND h.deleted_at IS NULL"
)
MOVED = f"""{HEAD} JOIN redirect m ON m.document_id = h.document_id AND m.branch = h.branch
 WHERE m.tenant_id = $1 AND m.space = $2 AND m.branch = $3 AND m.path_key = $4 AND h.deleted_at IS NULL"""
LIST = f"""{HEAD}
 WHERE h.tenant_id = $1 AND h.space = ANY($2) AND h.branch = $3 AND h.deleted_at IS NULL
   AND ($4 = '' OR starts_with(h.path, $4)) AND ($5 = '' OR $5 = ANY(h.tags)) AND ($6 = '' OR h.owner = $6)
   AND ($7::text IS NULL OR (h.space, h.path) > ($7, $8))
 ORDER BY h.space, h.path LIMIT $9
"""
TRASH = f"""{HEAD}
 WHERE h.tenant_id = $1 AND h.space = $2 AND h.branch = $3 AND h.deleted_at IS NOT NULL
   AND ($4::timestamptz IS NULL OR (h.deleted_at, h.document_id) < ($4, $5))
 ORDER BY h.deleted_at DESC, h.document_id DESC LIMIT $6
"""
REVISIONS = "SELECT * FROM revision WHERE tenant_id = $1 AND revision_id = ANY($2)"
BEFORE = """
CASE WHEN $4 = '' THEN 9223372036854775807
     ELSE (SELECT number FROM revision WHERE tenant_id = $1 AND revision_id = $4) END
"""
HISTORY = f"""
SELECT r.* FROM revision r
 WHERE r.tenant_id = $1 AND EXISTS (SELECT FROM document d WHERE d.document_id = r.document_id AND d.space = $2)
   AND ($3::timestamptz IS NULL OR r.created_at >= $3) AND r.number < {BEFORE}
 ORDER BY r.number DESC LIMIT $5
"""  # noqa: S608 # made of constants
HISTORY_OF_ONE = HISTORY.replace("WHERE r.tenant_id = $1", "WHERE r.tenant_id = $1 AND r.document_id = $6")
"""Apart, so that either is read in its order from an index, however the statement was planned."""
PURGE_HEADS = """
DELETE FROM head WHERE (document_id, branch) IN (
    SELECT h.document_id, h.branch FROM head h JOIN space s USING (tenant_id, space)
     WHERE h.deleted_at < now() - make_interval(secs => coalesce((s.rules->>'trash_retention_s')::float, $2))
     ORDER BY h.deleted_at LIMIT $1 FOR UPDATE OF h SKIP LOCKED
) RETURNING document_id
"""
PURGE_DOCUMENTS = """
DELETE FROM document d WHERE document_id = ANY($1)
   AND NOT EXISTS (SELECT FROM head h WHERE h.document_id = d.document_id)
"""
FORGET_REQUESTS = """
DELETE FROM write_request WHERE (tenant_id, request_id) IN (
    SELECT tenant_id, request_id FROM write_request WHERE created_at < now() - make_interval(days => $1)
     ORDER BY created_at LIMIT 10000
)
"""
GRAPHS = """
SELECT document_id, revision_id, number, parents FROM revision WHERE tenant_id = $1 AND document_id = ANY($2)
"""


class SqlDocumentStore:
    """A services.doc.domain.documents.ports.DocumentStore."""

    def __init__(self, database: Database, contents: SqlContents) -> None:
        self._database, self._contents = database, contents
        self.writes = SqlWrites(database, contents)

    async def write(self, write: Write, text: Text) -> Head:
        """See SqlWrites."""
        return await self.writes.write(write, text)

    async def write_all(self, writes: Sequence[tuple[Write, Text]]) -> Sequence[Head]:
        """See SqlWrites."""
        return await self.writes.write_all(writes)

    async def head(self, tenant_id: str, document_id: str, branch: str) -> Head:
        """One row."""
        row = await self._database.fetchrow(GET, tenant_id, document_id, branch, tenant=tenant_id)
        if row is None:
            raise document_not_found(document_id, branch)
        return rows.head(row)

    async def at_path(self, tenant_id: str, space: str, branch: str, path: str) -> Head:
        """One row, or the one that a redirect leads to."""
        for query in (AT_PATH, MOVED):
            row = await self._database.fetchrow(query, tenant_id, space, branch, key(path), tenant=tenant_id)
            if row is not None:
                return rows.head(row)
        raise DocumentNotFound(f"nothing is at {path!r} on the branch {branch!r} of {space!r}", path=path, space=space)

    async def list(self, tenant_id: str, query: DocumentQuery) -> Sequence[Head]:
        """Keyset by space and path."""
        after_space, after_path = query.after or (None, "")
        found = await self._database.fetch(
            LIST, tenant_id, list(query.spaces), query.branch, query.prefix, query.tag, query.owner,
            after_space, after_path, query.limit, tenant=tenant_id,
        )  # fmt: skip
        return [rows.head(row) for row in found]

    async def trash(
        self, tenant_id: str, space: str, branch: str, *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Head]:
        """Keyset by the time of deletion."""
        deleted_at, document_id = before or (None, "")
        found = await self._database.fetch(
            TRASH, tenant_id, space, branch, deleted_at, document_id, limit, tenant=tenant_id
        )
        return [rows.head(row) for row in found]

    async def content(self, tenant_id: str, sha256: str) -> str:
        """See SqlContents."""
        return (await self._contents.read(tenant_id, [sha256]))[sha256]

    async def contents(self, tenant_id: str, sha256: Sequence[str]) -> Mapping[str, str]:
        """See SqlContents."""
        return await self._contents.read(tenant_id, sha256)

    async def revision(self, tenant_id: str, document_id: str, revision_id: str) -> Revision:
        """One row."""
        found = await self.revisions(tenant_id, [revision_id])
        if not found or found[0].document_id != document_id:
            raise revision_not_found(revision_id)
        return found[0]

    async def revisions(self, tenant_id: str, revision_ids: Sequence[str]) -> Sequence[Revision]:
        """One query."""
        found = await self._database.fetch(REVISIONS, tenant_id, list(revision_ids), tenant=tenant_id)
        known = {row["revision_id"]: rows.revision(row) for row in found}
        return [known[each] for each in revision_ids if each in known]

    async def history(
        self, tenant_id: str, space: str, *, document_id: str, since: datetime | None, after: str, limit: int
    ) -> Sequence[Revision]:
        """Keyset by number."""
        asked = (tenant_id, space, since, after, limit)
        if document_id:
            found = await self._database.fetch(HISTORY_OF_ONE, *asked, document_id, tenant=tenant_id)
        else:
            found = await self._database.fetch(HISTORY, *asked, tenant=tenant_id)
        return [rows.revision(row) for row in found]

    async def purge(self, limit: int) -> int:
        """Of all tenants."""
        async with self._database.transaction(ENGINE) as tx:
            gone = await tx.fetch(PURGE_HEADS, limit, TRASH_FOR.total_seconds())
            ids = [row["document_id"] for row in gone]
            await tx.execute(PURGE_DOCUMENTS, ids)
        return len(gone)

    async def sweep(self, limit: int) -> int:
        """See SqlContents."""
        return await self._contents.sweep(limit)

    async def forget_requests(self, keep_days: int) -> int:
        """At most 10,000."""
        done = await self._database.execute(FORGET_REQUESTS, keep_days, tenant=ENGINE)
        return row_count(done)

    async def graph(self, tenant_id: str, document_id: str) -> Graph:
        """All revisions, without what they say."""
        return (await self.graphs(tenant_id, [document_id]))[document_id]

    async def graphs(self, tenant_id: str, document_ids: Sequence[str]) -> Mapping[str, Graph]:
        """One query."""
        nodes: dict[str, list[Node]] = {each: [] for each in document_ids}
        for row in await self._database.fetch(GRAPHS, tenant_id, list(nodes), tenant=tenant_id):
            nodes[row["document_id"]].append(Node(row["revision_id"], row["number"], row["parents"]))
        return {document_id: Graph(of) for document_id, of in nodes.items()}

    async def document(self, tenant_id: str, document_id: str, branch: str) -> Document:
        """Head, then content."""
        head = await self.head(tenant_id, document_id, branch)
        return Document(head, await self.content(tenant_id, head.sha256))
