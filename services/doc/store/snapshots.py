"""All spaces of a tenant as they were at one moment: one transaction that nobody else's writes change."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast

from automesh.storage.postgres import Connection, Database, Record
from automesh.storage.sealing import Sealer, place
from services.doc.domain.attachments.shelf import AttachmentShelf
from services.doc.domain.backups.tables import TABLES, BackedTable, Row
from services.doc.store.contents import SqlContents

BEGIN = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
PATIENT = """
SELECT set_config('idle_in_transaction_session_timeout', '600000', true),
       set_config('statement_timeout', '600000', true)
"""
SPACES = "SELECT space FROM space WHERE tenant_id = $1 ORDER BY space"
COUNT = "SELECT count(*) FROM document WHERE tenant_id = $1 AND space = $2"
THERE = "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL"
_AT_ONCE = 200


class SqlSnapshots:
    """A services.doc.domain.backups.ports.Snapshots."""

    def __init__(self, database: Database, sealer: Sealer, shelf: AttachmentShelf) -> None:
        self._database, self._sealer, self._shelf = database, sealer, shelf

    @asynccontextmanager
    async def open(self, tenant_id: str) -> AsyncGenerator[SqlSnapshot]:
        async with self._database.transaction(tenant_id) as tx:
            await tx.execute(BEGIN)
            await tx.execute(PATIENT)
            moment = await tx.fetchval("SELECT now()")
            there = {row["name"] for row in await tx.fetch(THERE, [table.name for table in TABLES])}
            tables = [table for table in TABLES if table.name in there]
            yield SqlSnapshot(tx, tenant_id, moment=moment, tables=tables, sealer=self._sealer, shelf=self._shelf)


class SqlSnapshot:
    """A services.doc.domain.backups.ports.Snapshot."""

    def __init__(
        self,
        tx: Connection,
        tenant_id: str,
        *,
        moment: datetime,
        tables: Sequence[BackedTable],
        sealer: Sealer,
        shelf: AttachmentShelf,
    ) -> None:
        self.moment, self.tables = moment, tables
        self._tx, self._tenant_id, self._sealer, self._shelf = tx, tenant_id, sealer, shelf
        self._contents = SqlContents(cast(Database, _Within(tx)), sealer)

    async def spaces(self) -> Sequence[str]:
        return [row["space"] for row in await self._tx.fetch(SPACES, self._tenant_id)]

    async def count(self, space: str) -> int:
        return int(await self._tx.fetchval(COUNT, self._tenant_id, space))

    async def rows(self, space: str, table: BackedTable) -> AsyncIterator[Row]:
        left_out = ["tenant_id", "space", *table.skip]
        async for record in self._tx.cursor(_query(table), self._tenant_id, space, left_out, prefetch=_AT_ONCE):
            row: Row = json.loads(record["row"])
            for column, parts in table.sealed.items():
                row[column] = self._unsealed(row, row[column], parts)
            yield row

    async def bodies(self, hashes: Sequence[str]) -> Mapping[str, bytes]:
        found = await self._contents.read(self._tenant_id, hashes)
        return {sha256: body.encode() for sha256, body in found.items()}

    def file(self, sha256: str) -> AsyncIterator[bytes]:
        return self._shelf.read(self._tenant_id, sha256)

    def _unsealed(self, row: Row, value: str | None, parts: Sequence[str]) -> str | None:
        if value is None:
            return None
        sealed = bytes.fromhex(value.removeprefix("\\x"))
        return base64.b64encode(self._sealer.unseal(sealed, seal_place(self._tenant_id, row, parts))).decode()


class _Within:
    """A Database whose queries all belong to one transaction."""

    def __init__(self, tx: Connection) -> None:
        self._tx = tx

    async def fetch(self, query: str, *args: object, tenant: str | None) -> list[Record]:
        del tenant  # the transaction is that tenant's
        return await self._tx.fetch(query, *args)


def seal_place(tenant_id: str, row: Mapping[str, Any], parts: Sequence[str]) -> bytes:
    """Where a value of the row is sealed for."""
    return place("doc", tenant_id, *(part.format_map(row) for part in parts))


def _query(table: BackedTable) -> str:
    """Names come from TABLES alone."""
    order = ", ".join(f"t.{column}" for column in table.key)
    joined = f"JOIN {table.through} o ON o.{table.by} = t.{table.by}" if table.through else ""
    owner = "o" if table.through else "t"
    return (
        f"SELECT to_jsonb(t) - $3::text[] AS row FROM {table.name} t {joined} "  # noqa: S608 - see above
        f"WHERE {owner}.tenant_id = $1 AND {owner}.space = $2 ORDER BY {order}"
    )
