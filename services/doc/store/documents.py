"""Documents in SQL. A write is one transaction; its fence is the expected revision in the WHERE of the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from automesh.storage.postgres import ENGINE, Connection, Database, Record
from services.doc.domain.documents.document import Document, DocumentQuery, Head, Revision, Write
from services.doc.domain.documents.graph import Graph, Node
from services.doc.domain.documents.path import key, target_of
from services.doc.domain.documents.text import Text
from services.doc.domain.errors import (
    DocumentNotFound,
    RequestReused,
    StaleHead,
    branch_not_found,
    document_not_found,
    path_taken,
    revision_not_found,
    space_not_found,
)
from services.doc.domain.spaces.space import MAIN
from services.doc.store import rows
from services.doc.store.contents import SqlContents

HEAD = """
SELECT h.*, r.size, r.sha256, d.created_by, d.created_at
  FROM head h JOIN revision r USING (revision_id) JOIN document d ON d.document_id = h.document_id
"""
GET = f"{HEAD} WHERE h.tenant_id = $1 AND h.document_id = $2 AND h.branch = $3"
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
HISTORY = """
SELECT r.* FROM revision r JOIN document d USING (document_id)
 WHERE d.tenant_id = $1 AND d.space = $2 AND ($3 = '' OR r.document_id = $3)
   AND ($4::timestamptz IS NULL OR r.created_at >= $4)
   AND ($5 = '' OR r.number < (SELECT number FROM revision WHERE tenant_id = $1 AND revision_id = $5))
 ORDER BY r.number DESC LIMIT $6
"""
PURGE_HEADS = """
DELETE FROM head WHERE (document_id, branch) IN (
    SELECT h.document_id, h.branch FROM head h JOIN space s USING (tenant_id, space)
     WHERE h.deleted_at < now() - make_interval(secs => coalesce((s.rules->>'trash_retention_s')::float, 2592000))
     ORDER BY h.deleted_at LIMIT $1 FOR UPDATE OF h SKIP LOCKED
) RETURNING document_id
"""
PURGE_DOCUMENTS = """
DELETE FROM document d WHERE document_id = ANY($1)
   AND NOT EXISTS (SELECT FROM head h WHERE h.document_id = d.document_id)
"""
GRAPH = "SELECT revision_id, number, parents FROM revision WHERE tenant_id = $1 AND document_id = $2"
NEW_DOCUMENT = "INSERT INTO document (document_id, tenant_id, space, created_by) VALUES ($1, $2, $3, $4)"
NEW_REVISION = """
INSERT INTO revision (revision_id, tenant_id, document_id, parents, branch, change, path, title, sha256, size, author,
                      co_authors, message, lines_added, lines_removed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
"""
NEW_HEAD = """
INSERT INTO head (tenant_id, space, branch, document_id, revision_id, path, path_key, title, tags, owner, review_at,
                  updated_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
MOVE_HEAD = """
UPDATE head SET revision_id = $5, path = $6, path_key = $7, title = $8, tags = $9,
                owner = coalesce(nullif($10, ''), (SELECT created_by FROM document WHERE document_id = $3)),
                review_at = $11, updated_by = $12, updated_at = now(), deleted_at = CASE WHEN $13 THEN now() END
 WHERE tenant_id = $1 AND branch = $2 AND document_id = $3 AND revision_id = $4
"""
LEAVE_REDIRECT = """
INSERT INTO redirect (tenant_id, space, branch, path_key, path, document_id) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, space, branch, path_key) DO UPDATE
   SET document_id = excluded.document_id, path = excluded.path, created_at = now()
"""
TAKE_REDIRECT = "DELETE FROM redirect WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND path_key = $4"
FORGET_LINKS = "DELETE FROM link WHERE document_id = $1 AND branch = $2"
NEW_LINKS = """
INSERT INTO link (tenant_id, space, branch, document_id, target_key, target, anchor, line, picture)
SELECT $1, $2, $3, $4, * FROM unnest($5::text[], $6::text[], $7::text[], $8::int[], $9::bool[])
"""
SET_ANCHORS = """
INSERT INTO anchor (tenant_id, document_id, branch, anchors) VALUES ($1, $2, $3, $4)
ON CONFLICT (document_id, branch) DO UPDATE SET anchors = excluded.anchors
"""
TELL = "INSERT INTO change (tenant_id, space, document_id, revision_id) VALUES ($1, $2, $3, $4)"
REQUEST = """
SELECT r.document_id, w.fingerprint FROM write_request w JOIN revision r USING (revision_id)
 WHERE w.tenant_id = $1 AND w.request_id = $2
"""
WRITTEN = f"SELECT document_id FROM ({REQUEST}) w"  # noqa: S608 # made of constants
NEW_REQUEST = """
INSERT INTO write_request (tenant_id, request_id, revision_id, fingerprint) VALUES ($1, $2, $3, $4)
"""


class SqlDocumentStore:
    """A services.doc.domain.documents.ports.DocumentStore."""

    def __init__(self, database: Database, contents: SqlContents) -> None:
        self._database, self._contents = database, contents

    async def write(self, write: Write, text: Text) -> Head:
        """Everything or nothing."""
        before = await self._before(write)
        try:
            async with self._database.transaction(write.tenant_id) as tx:
                written = await _repeated(tx, write)
                if written is None:
                    return rows.head(await self.write_in(tx, write, text, before))
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "write_request_pkey":
                raise await self._refused(write, error) from error
            # the same request, at the same moment: the other one has made it
            written = await self._database.fetchval(WRITTEN, write.tenant_id, write.request_id, tenant=write.tenant_id)
        except asyncpg.ForeignKeyViolationError as error:
            raise await self._refused(write, error) from error
        return await self.head(write.tenant_id, written, write.branch)

    async def write_all(self, writes: Sequence[tuple[Write, Text]]) -> Sequence[Head]:
        """One transaction; it says of the first write that fails why."""
        befores = [await self._before(write) for write, _ in writes]
        heads: list[Head] = []
        write = writes[0][0]
        try:
            async with self._database.transaction(write.tenant_id) as tx:
                for (write, text), before in zip(writes, befores, strict=True):
                    heads.append(rows.head(await self.write_in(tx, write, text, before)))
        except (asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError) as error:
            raise await self._refused(write, error) from error
        return heads

    async def write_in(self, tx: Connection, write: Write, text: Text, before: tuple[str, str] | None) -> Record:
        """The same within a transaction of somebody else; `before` are hash and body of the expected revision."""
        if not write.expected:
            await tx.execute(NEW_DOCUMENT, write.document_id, write.tenant_id, write.space, write.author)
        sha256 = await self._contents.put(tx, write.tenant_id, write.content, before)
        await tx.execute(NEW_REVISION, *_revision_values(write, text, sha256))
        await self._move(tx, write, text)
        await _set_links(tx, write, text)
        if write.branch == MAIN:
            await tx.execute(TELL, write.tenant_id, write.space, write.document_id, write.revision_id)
        if write.request_id:
            await tx.execute(NEW_REQUEST, write.tenant_id, write.request_id, write.revision_id, write.fingerprint)
        row = await tx.fetchrow(GET, write.tenant_id, write.document_id, write.branch)
        assert row is not None  # noqa: S101 - it was written a moment ago
        return row

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
        found = await self._database.fetch(
            HISTORY, tenant_id, space, document_id, since, after, limit, tenant=tenant_id
        )
        return [rows.revision(row) for row in found]

    async def purge(self, limit: int) -> int:
        """Of all tenants; contents that nothing refers to any more go with them."""
        async with self._database.transaction(ENGINE) as tx:
            gone = await tx.fetch(PURGE_HEADS, limit)
            ids = [row["document_id"] for row in gone]
            await tx.execute(PURGE_DOCUMENTS, ids)
        return len(gone)

    async def graph(self, tenant_id: str, document_id: str) -> Graph:
        """All revisions, without what they say."""
        found = await self._database.fetch(GRAPH, tenant_id, document_id, tenant=tenant_id)
        return Graph([Node(row["revision_id"], row["number"], row["parents"]) for row in found])

    async def document(self, tenant_id: str, document_id: str, branch: str) -> Document:
        """Head, then content."""
        head = await self.head(tenant_id, document_id, branch)
        return Document(head, await self.content(tenant_id, head.sha256))

    async def _before(self, write: Write) -> tuple[str, str] | None:
        """What the new body is packed against."""
        found = await self.revisions(write.tenant_id, [write.expected]) if write.expected else []
        return (found[0].sha256, await self.content(write.tenant_id, found[0].sha256)) if found else None

    async def _move(self, tx: Connection, write: Write, text: Text) -> None:
        """Makes the head, or moves it from the expected revision. Raises StaleHead."""
        place = [write.path, key(write.path), text.title, list(text.tags)]
        if not write.expected:
            owner = text.owner or write.author
            await tx.execute(
                NEW_HEAD, write.tenant_id, write.space, write.branch, write.document_id, write.revision_id, *place,
                owner, text.review_at, write.author,
            )  # fmt: skip
            await tx.execute(TAKE_REDIRECT, write.tenant_id, write.space, write.branch, key(write.path))
            return
        old = await tx.fetchrow(f"{GET} FOR UPDATE OF h", write.tenant_id, write.document_id, write.branch)
        if old is None:
            raise document_not_found(write.document_id, write.branch)
        moved = await tx.execute(
            MOVE_HEAD, write.tenant_id, write.branch, write.document_id, write.expected, write.revision_id, *place,
            text.owner, text.review_at, write.author, write.deleted,
        )  # fmt: skip
        if moved != "UPDATE 1":
            raise StaleHead(rows.head(old), write.expected)
        if old["path"] != write.path:
            where = (write.tenant_id, write.space, write.branch)
            await tx.execute(TAKE_REDIRECT, *where, key(write.path))
            if key(old["path"]) != key(write.path):
                await tx.execute(LEAVE_REDIRECT, *where, key(old["path"]), old["path"], write.document_id)

    async def _refused(self, write: Write, error: asyncpg.IntegrityConstraintViolationError) -> Exception:
        if error.constraint_name == "head_tenant_id_space_branch_fkey":
            return branch_not_found(write.space, write.branch)
        if error.constraint_name == "document_tenant_id_space_fkey":
            return space_not_found(write.space)
        if error.constraint_name == "head_path":
            row = await self._database.fetchrow(
                AT_PATH, write.tenant_id, write.space, write.branch, key(write.path), tenant=write.tenant_id
            )
            return path_taken(write.path, row["path"] if row else write.path)
        return error


async def _repeated(tx: Connection, write: Write) -> str | None:
    """The document that the very same request has written before. Raises RequestReused for another request."""
    row = await tx.fetchrow(REQUEST, write.tenant_id, write.request_id) if write.request_id else None
    if row is None:
        return None
    if bytes(row["fingerprint"]) != write.fingerprint:
        raise RequestReused(
            f"request_id {write.request_id!r} stands for another write already", requestId=write.request_id
        )
    return str(row["document_id"])


async def _set_links(tx: Connection, write: Write, text: Text) -> None:
    """Those of the head only: earlier revisions lead nowhere."""
    await tx.execute(FORGET_LINKS, write.document_id, write.branch)
    if write.deleted:
        return
    targets = [(link, target_of(link.target, write.path)) for link in text.outline.links]
    inside = [(link, target) for link, target in targets if target is not None]
    await tx.execute(
        NEW_LINKS, write.tenant_id, write.space, write.branch, write.document_id,
        [key(target[0]) for _, target in inside],
        [target[0] for _, target in inside],
        [target[1] for _, target in inside],
        [link.line for link, _ in inside],
        [link.picture for link, _ in inside],
    )  # fmt: skip
    await tx.execute(SET_ANCHORS, write.tenant_id, write.document_id, write.branch, sorted(text.outline.anchors))


def _revision_values(write: Write, text: Text, sha256: str) -> tuple[object, ...]:
    parents = [each for each in (write.expected, write.merged) if each]
    return (
        write.revision_id, write.tenant_id, write.document_id, parents, write.branch, write.change, write.path,
        text.title, sha256, len(write.content.encode()), write.author, list(write.co_authors), write.message,
        write.lines_added, write.lines_removed,
    )  # fmt: skip
