"""Writes: prepared, carried out alone or many together, and explained where they were not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from automesh.storage.faults import Contended
from automesh.storage.postgres import Connection, Database
from services.doc.domain.documents.document import Head, Write
from services.doc.domain.documents.pace import paced
from services.doc.domain.documents.path import key, target_of
from services.doc.domain.documents.text import Text
from services.doc.domain.errors import (
    StaleHead,
    branch_not_found,
    document_not_found,
    path_taken,
    request_reused,
    space_not_found,
)
from services.doc.store import rows
from services.doc.store.contents import Before, Packed, SqlContents
from services.doc.store.write_statements import BEGIN, MOVE, VACATE

HEAD = """
SELECT h.*, r.size, r.sha256, d.created_by, d.created_at
  FROM head h JOIN revision r USING (revision_id) JOIN document d ON d.document_id = h.document_id
"""
GET = f"{HEAD} WHERE h.tenant_id = $1 AND h.document_id = $2 AND h.branch = $3"
TAKEN = (
    "SELECT path FROM head WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND path_key = $4 AND deleted_at IS NULL"
)
REQUEST = """
SELECT r.document_id, w.fingerprint FROM write_request w JOIN revision r USING (revision_id)
 WHERE w.tenant_id = $1 AND w.request_id = $2
"""
TRIES = 3
Link = tuple[str, str, str, int, bool]
"""Key and path of the target, anchor, line, and whether it is a picture."""
_Violation = asyncpg.IntegrityConstraintViolationError
_SWEPT = frozenset({"revision_tenant_id_sha256_fkey", "content_tenant_id_base_fkey"})
"""The body was there, unused, and was cleaned up at that moment: it is stored anew."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A write with everything that takes time done."""

    write: Write
    text: Text
    packed: Packed
    before: Before | None
    links: Sequence[Link]

    @property
    def leaves(self) -> bool:
        """The path that the document has on the branch is free afterwards."""
        before = self.before if self.write.expected else None
        return before is not None and (self.write.deleted or key(before.path) != key(self.write.path))

    def arguments(self) -> Sequence[object]:
        """Of MOVE and BEGIN."""
        write, text, packed = self.write, self.text, self.packed
        left = (key(self.before.path), self.before.path) if self.before and write.expected else ("", "")
        return (
            write.tenant_id, write.branch, write.document_id, write.expected or write.merged, write.revision_id,
            write.path, key(write.path), text.title, list(text.tags), text.owner, text.review_at, write.author,
            write.deleted, write.space,
            packed.sha256, packed.base, packed.depth, packed.size, packed.bytes,
            list(write.parents), write.change, list(write.co_authors), write.message, write.lines_added,
            write.lines_removed,
            *([link[at] for link in self.links] for at in range(5)),
            sorted(text.outline.anchors), *left, write.request_id, write.fingerprint,
        )  # fmt: skip

    @property
    def statement(self) -> str:
        """What writes it."""
        return MOVE if self.write.expected else BEGIN


class NotWritten(Exception):
    """A statement did nothing, or broke a constraint; `SqlWrites.explaining` says what that means."""

    def __init__(self, write: Write, violation: _Violation | None = None) -> None:
        super().__init__(write.document_id)
        self.write, self.violation = write, violation


class SqlWrites:
    """Carries writes out."""

    def __init__(self, database: Database, contents: SqlContents) -> None:
        self._database, self._contents = database, contents

    async def write(self, write: Write, text: Text) -> Head:
        """See DocumentStore."""
        [prepared] = await self.prepare([(write, text)])
        try:
            async with self.explaining():
                return await self._alone(prepared)
        except Exception:
            repeated = await self._repeated(write) if write.request_id else None
            if repeated is None:
                raise
            return repeated

    async def write_all(self, writes: Sequence[tuple[Write, Text]]) -> Sequence[Head]:
        """See DocumentStore."""
        if not writes:
            return []
        prepared = await self.prepare(writes)
        async with self.explaining(), self._database.transaction(writes[0][0].tenant_id) as tx:
            heads = await self.write_in(tx, prepared)
        self.remember(prepared)
        return heads

    async def prepare(self, writes: Sequence[tuple[Write, Text]]) -> Sequence[Prepared]:
        """Reads what the writes are made on, and packs their bodies."""
        prepared = []
        for write, text in writes:
            parents = write.parents
            before = await self._contents.before(write.tenant_id, write.document_id, parents[0]) if parents else None
            packed = await self._contents.pack(write.tenant_id, write.content, before)
            links = await paced(len(write.content), _links, write, text)
            prepared.append(Prepared(write, text, packed, before, links))
        return prepared

    async def write_in(self, tx: Connection, prepared: Sequence[Prepared]) -> Sequence[Head]:
        """Within a transaction that is rolled back when this raises NotWritten."""
        leaving = [each.write for each in prepared if each.leaves]
        if len(prepared) > 1 and leaving:
            await tx.execute(
                VACATE, leaving[0].tenant_id, [each.document_id for each in leaving], [each.branch for each in leaving],
                [each.expected for each in leaving],
            )  # fmt: skip
        heads = []
        for each in prepared:
            try:
                row = await tx.fetchrow(each.statement, *each.arguments())
            except _Violation as error:
                raise NotWritten(each.write, error) from error
            if row is None:
                raise NotWritten(each.write)
            heads.append(rows.head(row))
        return heads

    def remember(self, prepared: Sequence[Prepared]) -> None:
        """They are committed: their bodies need not be read when they are asked for."""
        for each in prepared:
            self._contents.remember(each.write.tenant_id, each.packed.sha256, each.write.content)

    @asynccontextmanager
    async def explaining(self) -> AsyncIterator[None]:
        """Turns NotWritten into what the port says, once the transaction within is over."""
        try:
            yield
        except NotWritten as error:
            raise await self._reason(error.write, error.violation) from error

    async def _alone(self, prepared: Prepared) -> Head:
        write = prepared.write
        for attempt in range(1, TRIES + 1):
            try:
                row = await self._database.fetchrow(prepared.statement, *prepared.arguments(), tenant=write.tenant_id)
            except _Violation as error:
                if error.constraint_name in _SWEPT and attempt < TRIES:
                    continue
                raise NotWritten(write, error) from error
            if row is None:
                raise NotWritten(write)
            self.remember([prepared])
            return rows.head(row)
        raise AssertionError("unreachable: the last try returns or raises")

    async def _repeated(self, write: Write) -> Head | None:
        """What the very same request has written before. Raises RequestReused for another request."""
        row = await self._database.fetchrow(REQUEST, write.tenant_id, write.request_id, tenant=write.tenant_id)
        if row is None:
            return None
        if bytes(row["fingerprint"]) != write.fingerprint:
            raise request_reused(write.request_id)
        found = await self._database.fetchrow(
            GET, write.tenant_id, row["document_id"], write.branch, tenant=write.tenant_id
        )
        return rows.head(found) if found else None

    async def _reason(self, write: Write, violation: _Violation | None) -> Exception:
        name = violation.constraint_name if violation else ""
        if violation is None or name == "head_pkey":
            row = await self._database.fetchrow(
                GET, write.tenant_id, write.document_id, write.branch, tenant=write.tenant_id
            )
            if row is None or row["space"] != write.space:
                return document_not_found(write.document_id, write.branch)
            return StaleHead(rows.head(row), write.expected)
        if name == "head_path":
            found = await self._database.fetchrow(
                TAKEN, write.tenant_id, write.space, write.branch, key(write.path), tenant=write.tenant_id
            )
            return path_taken(write.path, found["path"] if found else write.path)
        return _plain(write).get(name or "", violation)


def _plain(write: Write) -> dict[str, Exception]:
    """What is missing or taken, by the constraint that says so."""
    return {
        "write_request_pkey": request_reused(write.request_id),
        **dict.fromkeys(_SWEPT, Contended("a body was cleaned up at this moment: try again")),
        "head_tenant_id_space_branch_fkey": branch_not_found(write.space, write.branch),
        "document_tenant_id_space_fkey": space_not_found(write.space),
    }


def _links(write: Write, text: Text) -> Sequence[Link]:
    """Of links within the space; none of what is in the trash."""
    if write.deleted:
        return []
    targets = [(link, target_of(link.target, write.path)) for link in text.outline.links]
    return [(key(target[0]), *target, link.line, link.picture) for link, target in targets if target is not None]
