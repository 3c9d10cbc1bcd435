"""A DocumentStore in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from services.doc.domain.documents.document import Document, DocumentQuery, Head, Revision, Write, sha256_of
from services.doc.domain.documents.graph import Graph, Node
from services.doc.domain.documents.path import key
from services.doc.domain.documents.text import Text
from services.doc.domain.errors import (
    DocumentNotFound,
    StaleHead,
    branch_not_found,
    document_not_found,
    path_taken,
    request_reused,
    revision_not_found,
    space_not_found,
)
from services.doc.domain.spaces.space import MAIN
from services.doc.fakes.library import Begun, FakeLibrary

Leaving = set[tuple[str, str]]


class FakeDocumentStore:
    """A services.doc.domain.documents.ports.DocumentStore. Others have their turn before every write."""

    def __init__(self, library: FakeLibrary) -> None:
        self._library = library

    async def write(self, write: Write, text: Text) -> Head:
        """See the port."""
        await asyncio.sleep(0)
        try:
            with self._library.transaction():
                return self._write(write, text, set())
        except Exception:
            repeated = self._repeated(write)
            if repeated is None:
                raise
            return repeated

    async def write_all(self, writes: Sequence[tuple[Write, Text]]) -> Sequence[Head]:
        """See the port."""
        await asyncio.sleep(0)
        with self._library.transaction():
            return self.write_in(writes)

    def write_in(self, writes: Sequence[tuple[Write, Text]]) -> Sequence[Head]:
        """Within a transaction of somebody else."""
        leaving = {(write.document_id, write.branch) for write, _ in writes if self._leaves(write)}
        return [self._write(write, text, leaving) for write, text in writes]

    async def head(self, tenant_id: str, document_id: str, branch: str) -> Head:
        """See the port."""
        return self._library.head(tenant_id, document_id, branch)

    async def at_path(self, tenant_id: str, space: str, branch: str, path: str) -> Head:
        """See the port."""
        where = (tenant_id, space, branch)
        moved = self._library.rows.redirects.get((where, key(path)))
        there = [each for each in self._library.on(*where) if each.deleted_at is None]
        for head in sorted(there, key=lambda each: each.document_id == moved):
            if key(head.path) == key(path) or head.document_id == moved:
                return head
        raise DocumentNotFound(f"nothing is at {path!r} on the branch {branch!r} of {space!r}", path=path, space=space)

    async def list(self, tenant_id: str, query: DocumentQuery) -> Sequence[Head]:
        """See the port."""
        found = [
            head
            for space in query.spaces
            for head in self._library.on(tenant_id, space, query.branch)
            if head.deleted_at is None
            and head.path.startswith(query.prefix)
            and query.tag in ("", *head.tags)
            and query.owner in ("", head.owner)
            and (query.after is None or (head.space, head.path) > query.after)
        ]
        return sorted(found, key=lambda each: (each.space, each.path))[: query.limit]

    async def trash(
        self, tenant_id: str, space: str, branch: str, *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Head]:
        """See the port."""
        found = [
            (each.deleted_at, each.document_id, each)
            for each in self._library.on(tenant_id, space, branch)
            if each.deleted_at is not None and (before is None or (each.deleted_at, each.document_id) < before)
        ]
        return [each for *_, each in sorted(found, key=lambda row: row[:2], reverse=True)][:limit]

    async def content(self, tenant_id: str, sha256: str) -> str:
        """See the port."""
        return self._library.rows.bodies[(tenant_id, sha256)]

    async def contents(self, tenant_id: str, sha256: Sequence[str]) -> Mapping[str, str]:
        """See the port."""
        return {each: self._library.rows.bodies[(tenant_id, each)] for each in sha256}

    async def revision(self, tenant_id: str, document_id: str, revision_id: str) -> Revision:
        """See the port."""
        found = await self.revisions(tenant_id, [revision_id])
        if not found or found[0].document_id != document_id:
            raise revision_not_found(revision_id)
        return found[0]

    async def revisions(self, tenant_id: str, revision_ids: Sequence[str]) -> Sequence[Revision]:
        """See the port."""
        rows = self._library.rows
        known = [rows.revisions[each] for each in revision_ids if each in rows.revisions]
        return [each for each in known if rows.documents[each.document_id].tenant_id == tenant_id]

    async def history(
        self, tenant_id: str, space: str, *, document_id: str, since: datetime | None, after: str, limit: int
    ) -> Sequence[Revision]:
        """See the port."""
        rows = self._library.rows
        if after and after not in rows.revisions:
            return []
        below = rows.revisions[after].number if after else None
        found = [
            each
            for each in rows.revisions.values()
            if (begun := rows.documents[each.document_id]).tenant_id == tenant_id
            and begun.space == space
            and document_id in ("", each.document_id)
            and (since is None or each.created_at >= since)
            and (below is None or each.number < below)
        ]
        return sorted(found, key=lambda each: -each.number)[:limit]

    async def purge(self, limit: int) -> int:
        """See the port."""
        rows, now = self._library.rows, self._library.clock()
        due = [
            head
            for head in rows.heads.values()
            if head.deleted_at is not None
            and head.deleted_at < now - rows.spaces[(head.tenant_id, head.space)].rules.trash_retention
        ][:limit]
        for head in due:
            del rows.heads[(head.document_id, head.branch)]
            if not any(document_id == head.document_id for document_id, _ in rows.heads):
                self._library.forget_document(head.document_id)
        return len(due)

    async def sweep(self, limit: int) -> int:
        """See the port. All at once."""
        rows = self._library.rows
        used = {(rows.documents[each.document_id].tenant_id, each.sha256) for each in rows.revisions.values()}
        gone = [each for each in rows.bodies if each not in used][:limit]
        for each in gone:
            del rows.bodies[each]
        return len(gone)

    async def forget_requests(self, keep_days: int) -> int:
        """See the port."""
        rows, since = self._library.rows, self._library.clock() - timedelta(days=keep_days)
        old = [name for name, (_, _, made_at) in rows.requests.items() if made_at < since]
        for name in old:
            del rows.requests[name]
        return len(old)

    async def graph(self, tenant_id: str, document_id: str) -> Graph:
        """See the port."""
        rows = self._library.rows
        begun = rows.documents.get(document_id)
        if begun is None or begun.tenant_id != tenant_id:
            return Graph([])
        found = [each for each in rows.revisions.values() if each.document_id == document_id]
        return Graph([Node(each.revision_id, each.number, each.parents) for each in found])

    async def graphs(self, tenant_id: str, document_ids: Sequence[str]) -> Mapping[str, Graph]:
        """See the port."""
        return {each: await self.graph(tenant_id, each) for each in document_ids}

    async def document(self, tenant_id: str, document_id: str, branch: str) -> Document:
        """See the port."""
        head = self._library.head(tenant_id, document_id, branch)
        return Document(head, await self.content(tenant_id, head.sha256))

    def _repeated(self, write: Write) -> Head | None:
        made = self._library.rows.requests.get((write.tenant_id, write.request_id)) if write.request_id else None
        if made is None:
            return None
        revision_id, fingerprint, _ = made
        if fingerprint != write.fingerprint:
            raise request_reused(write.request_id)
        document_id = self._library.rows.revisions[revision_id].document_id
        return self._library.rows.heads.get((document_id, write.branch))

    def _leaves(self, write: Write) -> bool:
        head = self._library.rows.heads.get((write.document_id, write.branch)) if write.expected else None
        if head is None or head.revision_id != write.expected:
            return False
        return write.deleted or key(head.path) != key(write.path)

    def _write(self, write: Write, text: Text, leaving: Leaving) -> Head:
        rows = self._library.rows
        self._check(write, leaving)
        now = self._library.clock()
        if write.document_id not in rows.documents:
            rows.documents[write.document_id] = Begun(write.tenant_id, write.space, write.author, now)
        leaving.discard((write.document_id, write.branch))
        rows.bodies[(write.tenant_id, sha256_of(write.content))] = write.content
        rows.revisions[write.revision_id] = self._revision(write, text, now)
        head = self._head(write, text, now)
        before = rows.heads.get((write.document_id, write.branch))
        rows.heads[(write.document_id, write.branch)] = head
        self._redirect(write, before)
        if write.branch == MAIN:
            self._library.tell(write.tenant_id, write.space, write.document_id, write.revision_id)
        if write.request_id:
            rows.requests[(write.tenant_id, write.request_id)] = (write.revision_id, write.fingerprint, now)
        return head

    def _check(self, write: Write, leaving: Leaving) -> None:
        rows = self._library.rows
        begun = rows.documents.get(write.document_id)
        here = begun is not None and (begun.tenant_id, begun.space) == (write.tenant_id, write.space)
        head = rows.heads.get((write.document_id, write.branch))
        if (write.expected or write.merged) and not here:
            raise document_not_found(write.document_id, write.branch)
        if head is None and write.expected:
            raise document_not_found(write.document_id, write.branch)
        if head is not None and head.revision_id != write.expected:
            raise StaleHead(head, write.expected)
        if not (write.expected or write.merged) and (write.tenant_id, write.space) not in rows.spaces:
            raise space_not_found(write.space)
        if (write.tenant_id, write.space, write.branch) not in rows.branches:
            raise branch_not_found(write.space, write.branch)
        if not write.deleted:
            self._check_path(write, leaving)
        if write.request_id and (write.tenant_id, write.request_id) in rows.requests:
            raise request_reused(write.request_id)

    def _check_path(self, write: Write, leaving: Leaving) -> None:
        for other in self._library.on(write.tenant_id, write.space, write.branch):
            here = other.deleted_at is None and key(other.path) == key(write.path)
            if here and other.document_id != write.document_id and (other.document_id, other.branch) not in leaving:
                raise path_taken(write.path, other.path)

    def _revision(self, write: Write, text: Text, now: datetime) -> Revision:
        return Revision(
            revision_id=write.revision_id,
            document_id=write.document_id,
            number=self._library.number(),
            parents=tuple(write.parents),
            branch=write.branch,
            change=write.change,
            path=write.path,
            title=text.title,
            author=write.author,
            co_authors=tuple(write.co_authors),
            message=write.message,
            created_at=now,
            size=len(write.content.encode()),
            sha256=sha256_of(write.content),
            lines_added=write.lines_added,
            lines_removed=write.lines_removed,
        )

    def _head(self, write: Write, text: Text, now: datetime) -> Head:
        begun = self._library.rows.documents[write.document_id]
        return Head(
            tenant_id=write.tenant_id,
            space=write.space,
            branch=write.branch,
            document_id=write.document_id,
            revision_id=write.revision_id,
            path=write.path,
            title=text.title,
            tags=tuple(text.tags),
            owner=text.owner or begun.created_by,
            review_at=text.review_at,
            size=len(write.content.encode()),
            sha256=sha256_of(write.content),
            created_by=begun.created_by,
            created_at=begun.created_at,
            updated_by=write.author,
            updated_at=now,
            deleted_at=now if write.deleted else None,
        )

    def _redirect(self, write: Write, before: Head | None) -> None:
        where, redirects = (write.tenant_id, write.space, write.branch), self._library.rows.redirects
        redirects.pop((where, key(write.path)), None)
        if before is not None and key(before.path) != key(write.path):
            redirects[(where, key(before.path))] = write.document_id
