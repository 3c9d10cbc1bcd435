"""Rows of a backup come back. PostgreSQL itself turns JSON into rows; what is there already stays as it is."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from itertools import groupby

import asyncpg

from automesh.core.errors import AlreadyExists
from automesh.storage.blobs import BlobStore
from automesh.storage.postgres import Connection, Database, row_count
from automesh.storage.sealing import Sealer
from services.doc.domain.attachments.ports import BlobLedger
from services.doc.domain.backups.ports import DocumentRows
from services.doc.domain.backups.tables import TABLES, BackedTable, Row
from services.doc.domain.errors import path_taken
from services.doc.store.contents import INSERT as PUT_CONTENT
from services.doc.store.contents import Before, Packed, SqlContents
from services.doc.store.snapshots import seal_place

EXISTS = "SELECT EXISTS (SELECT FROM space WHERE tenant_id = $1 AND space = $2)"
KNOWN = "SELECT document_id FROM document WHERE tenant_id = $1 AND document_id = ANY($2)"
TELL = "INSERT INTO change (tenant_id, space, document_id, revision_id) VALUES ($1, $2, $3, $4)"
DEPTHS = "SELECT sha256, depth FROM content WHERE tenant_id = $1 AND sha256 = ANY($2)"
TELL_ALL = """
INSERT INTO change (tenant_id, space, document_id, revision_id)
SELECT $1, $2, * FROM unnest($3::text[], $4::text[])
"""
FILES = "SELECT sha256 FROM attachment_blob WHERE tenant_id = $1 AND sha256 = ANY($2)"
ADD_FILE = """
INSERT INTO attachment_blob (tenant_id, sha256, size, blob) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, sha256) DO NOTHING RETURNING blob
"""
KEEP = "DELETE FROM discarded_blob WHERE blob = $1"
COLUMNS = """
SELECT column_name FROM information_schema.columns
 WHERE table_schema = current_schema() AND table_name = $1 AND is_generated = 'NEVER'
"""
ADVANCE = """
SELECT setval(pg_get_serial_sequence($1, $2), $3) FROM pg_sequences
 WHERE format('%I.%I', schemaname, sequencename)::regclass = pg_get_serial_sequence($1, $2)::regclass
   AND coalesce(last_value, 0) < $3
"""
RESERVED_FOR = timedelta(days=1)
_TABLES = {table.name: table for table in TABLES}
_FIRST, _LATER = ("space", "member", "branch"), ("redirect", "link", "anchor")


class DocumentThere(AlreadyExists):
    """Somebody has brought it back at the same moment."""

    reason = "DOCUMENT_THERE"


class SqlRestorer:
    """A services.doc.domain.backups.ports.Restorer."""

    def __init__(
        self,
        database: Database,
        contents: SqlContents,
        sealer: Sealer,
        *,
        blobs: BlobStore,
        ledger: BlobLedger,
        make_id: Callable[[str], str],
    ) -> None:
        self._database, self._contents, self._sealer = database, contents, sealer
        self._blobs, self._ledger, self._make_id = blobs, ledger, make_id
        self._columns: dict[str, frozenset[str]] = {}

    async def exists(self, tenant_id: str, space: str) -> bool:
        """One value."""
        return bool(await self._database.fetchval(EXISTS, tenant_id, space, tenant=tenant_id))

    async def begin(self, tenant_id: str, space: str, rows: Mapping[str, Sequence[Row]]) -> None:
        """One transaction."""
        async with self._database.transaction(tenant_id) as tx:
            new = not await tx.fetchval(EXISTS, tenant_id, space)
            for name in _FIRST:
                if new or name == "branch":
                    await self._insert(tx, tenant_id, space, _TABLES[name], rows[name])
            if new:
                await tx.execute(TELL, tenant_id, space, "", "")

    async def known(self, tenant_id: str, document_ids: Collection[str]) -> Collection[str]:
        """One query."""
        found = await self._database.fetch(KNOWN, tenant_id, list(document_ids), tenant=tenant_id)
        return {row["document_id"] for row in found}

    async def add(
        self, tenant_id: str, space: str, documents: Sequence[DocumentRows], bodies: Mapping[str, bytes]
    ) -> None:
        """One transaction."""
        try:
            async with self._database.transaction(tenant_id) as tx:
                made = await self._insert(tx, tenant_id, space, _TABLES["document"], _all(documents, "document"))
                if made != len(documents):
                    raise DocumentThere("somebody has brought documents back at the same moment: restore again")
                await self._put_bodies(tx, tenant_id, documents, bodies)
                await self._insert(tx, tenant_id, space, _TABLES["revision"], _all(documents, "revision"))
                heads = _all(documents, "head")
                await self._insert(tx, tenant_id, space, _TABLES["head"], heads, strict=True)
                for name in _LATER:
                    await self._insert(tx, tenant_id, space, _TABLES[name], _all(documents, name))
                shown = [head for head in heads if head["branch"] == "main"]
                ids = [head["document_id"] for head in shown], [head["revision_id"] for head in shown]
                await tx.execute(TELL_ALL, tenant_id, space, *ids)
        except asyncpg.UniqueViolationError as error:
            raise path_taken(documents[0].path, "another document") from error

    async def missing_files(self, tenant_id: str, hashes: Collection[str]) -> Collection[str]:
        """One query."""
        found = await self._database.fetch(FILES, tenant_id, list(hashes), tenant=tenant_id)
        return set(hashes) - {row["sha256"] for row in found}

    async def add_file(self, tenant_id: str, sha256: str, chunks: AsyncIterator[bytes]) -> None:
        """The blob first, then its row; of two that do it at once one wins."""
        blob = f"doc/attachments/{self._make_id('att')}"
        await self._ledger.reserve(blob, RESERVED_FOR)
        stored = await self._blobs.put(blob, chunks)
        async with self._database.transaction(tenant_id) as tx:
            if await tx.fetchval(ADD_FILE, tenant_id, sha256, stored.size, blob) is not None:
                await tx.execute(KEEP, blob)

    async def add_rows(self, tenant_id: str, space: str, table: BackedTable, rows: Sequence[Row]) -> tuple[int, int]:
        """All at once; one by one when some of them have lost what they belong to."""
        if not await self._columns_of(table):
            return 0, len(rows)
        try:
            async with self._database.transaction(tenant_id) as tx:
                return await self._insert(tx, tenant_id, space, table, rows), 0
        except asyncpg.IntegrityConstraintViolationError:
            added = lost = 0
            for row in rows:
                try:
                    async with self._database.transaction(tenant_id) as tx:
                        added += await self._insert(tx, tenant_id, space, table, [row])
                except asyncpg.IntegrityConstraintViolationError:
                    lost += 1
            return added, lost

    async def _put_bodies(
        self, tx: Connection, tenant_id: str, documents: Sequence[DocumentRows], bodies: Mapping[str, bytes]
    ) -> None:
        """Each packed against the one before, as when they were written."""
        depths = {row["sha256"]: row["depth"] for row in await tx.fetch(DEPTHS, tenant_id, list(bodies))}
        packed: list[Packed] = []
        for document in documents:
            before: Before | None = None
            for row in document.rows["revision"]:
                body, sha256 = bodies[row["sha256"]].decode(), row["sha256"]
                if sha256 not in depths:
                    packed.append(await self._contents.pack(tenant_id, body, before))
                    depths[sha256] = packed[-1].depth
                before = Before(path=row["path"], sha256=sha256, depth=depths[sha256], body=body)
        await tx.executemany(
            PUT_CONTENT, [(tenant_id, each.sha256, each.base, each.depth, each.size, each.bytes) for each in packed]
        )

    async def _insert(
        self,
        tx: Connection,
        tenant_id: str,
        space: str,
        table: BackedTable,
        rows: Sequence[Row],
        *,
        strict: bool = False,
    ) -> int:
        """How many there are now that were not. `strict`: one that cannot be is an error."""
        columns, count = await self._columns_of(table), 0
        whole = [self._whole(tenant_id, space, table, row) for row in rows]
        for names, group in groupby(whole, key=lambda row: sorted(columns & row.keys())):
            batch = list(group)
            done = await tx.execute(_statement(table, names, strict=strict), json.dumps(batch))
            count += row_count(done)
        if table.number and whole:
            await tx.execute(ADVANCE, table.name, table.number, max(int(row[table.number]) for row in whole))
        return count

    def _whole(self, tenant_id: str, space: str, table: BackedTable, row: Row) -> Row:
        """With tenant and space, and sealed again."""
        whole = {**row, "tenant_id": tenant_id, "space": space}
        for column, parts in table.sealed.items():
            if whole.get(column) is not None:
                sealed = self._sealer.seal(base64.b64decode(whole[column]), seal_place(tenant_id, whole, parts))
                whole[column] = f"\\x{sealed.hex()}"
        return whole

    async def _columns_of(self, table: BackedTable) -> frozenset[str]:
        """Those that can be written; none when there is no such table."""
        if table.name not in self._columns:
            found = await self._database.fetch(COLUMNS, table.name, tenant=None)
            self._columns[table.name] = frozenset(row["column_name"] for row in found)
        return self._columns[table.name]


def _all(documents: Sequence[DocumentRows], name: str) -> Sequence[Row]:
    return [row for document in documents for row in document.rows.get(name, ())]


def _statement(table: BackedTable, names: Sequence[str], *, strict: bool) -> str:
    """Names come from the catalogue of the database."""
    listed = ", ".join(f'"{name}"' for name in names)
    once = ""
    if table.once_by:
        same = " AND ".join(f"o.{name} = r.{name}" for name in ("tenant_id", "space", *table.once_by))
        once = f"WHERE NOT EXISTS (SELECT FROM {table.name} o WHERE {same})"
    overriding = "OVERRIDING SYSTEM VALUE" if table.number else ""
    conflict = "" if strict else "ON CONFLICT DO NOTHING"
    return (
        f"INSERT INTO {table.name} ({listed}) {overriding} SELECT {listed} "  # noqa: S608 - see above
        f"FROM jsonb_populate_recordset(NULL::{table.name}, $1::jsonb) r {once} {conflict}"
    )
