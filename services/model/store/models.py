"""Models in SQL: made, read, changed, deleted. What is told to webhooks is written in the same transaction."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg
import orjson

from automesh.core.ids import new_id
from automesh.storage.postgres import Connection, Database, Record
from services.model.domain.registry.errors import ModelNameTaken, model_name_taken, model_not_found
from services.model.domain.registry.model import Model, ModelText
from services.model.domain.registry.ports import Deletion, ModelQuery
from services.model.domain.webhooks import events
from services.model.store import model_rows as rows
from services.model.store.outbox import announce

INSERT = """
INSERT INTO model (model_id, tenant_id, created_by, name, description, tags, gates,
                   max_batch_size, max_delay_us, max_queue)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8, $9, $10)
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING *
"""
WHOLE = """
SELECT m.*, (SELECT coalesce(jsonb_object_agg(a.alias, a.version), '{}') FROM alias AS a
              WHERE a.model_id = m.model_id) AS aliases
  FROM model AS m
"""
GET = WHOLE + " WHERE tenant_id = $1 AND model_id = $2"
FIND = WHOLE + " WHERE tenant_id = $1 AND (model_id = $2 OR name = $2) ORDER BY model_id <> $2 LIMIT 1"
LIST = (
    WHOLE
    + """
 WHERE tenant_id = $1
   AND ($2::timestamptz IS NULL OR (updated_at, model_id) < ($2, $3))
   AND ($4 = '' OR position(lower($4) IN lower(name)) > 0)
   AND ($5::jsonb IS NULL OR tags @> $5::jsonb)
 ORDER BY updated_at DESC, model_id DESC LIMIT $6
"""
)
# Aliases are read by a statement of their own: one that waited for the lock would see them as they were before.
LOCK = "SELECT * FROM model WHERE tenant_id = $1 AND model_id = $2 FOR NO KEY UPDATE"
LOCK_ALONE = (
    "SELECT name FROM model WHERE tenant_id = $1 AND model_id = $2 FOR UPDATE"  # waits for runs being made, too
)
LOCK_NAME = "SELECT * FROM model WHERE tenant_id = $1 AND name = $2 FOR UPDATE"
ALIASES = "SELECT alias, version FROM alias WHERE model_id = $1"
UPDATE = """
UPDATE model SET name = $2, description = $3, tags = $4::jsonb, gates = $5::jsonb,
                 max_batch_size = $6, max_delay_us = $7, max_queue = $8, updated_at = clock_timestamp()
 WHERE model_id = $1 RETURNING *
"""
USED = """
SELECT EXISTS (SELECT 1 FROM run WHERE model_id = $1 AND run_id <> $2)
    OR EXISTS (SELECT 1 FROM sweep WHERE model_id = $1 AND sweep_id <> $2)
"""
TRAINS = """
SELECT EXISTS (SELECT 1 FROM run WHERE model_id = $1 AND state IN ('QUEUED', 'RUNNING'))
    OR EXISTS (SELECT 1 FROM sweep WHERE model_id = $1 AND state = 'RUNNING')
"""
# Files of versions and checkpoints lie in a folder for each run.
DISCARD = """
INSERT INTO discarded_blob (blob, due_at)
SELECT DISTINCT 'runs/' || tenant_id || '/' || run_id || '/', now()
  FROM (SELECT tenant_id, run_id FROM run WHERE model_id = $1
        UNION SELECT tenant_id, run_id FROM model_version WHERE model_id = $1) AS found
ON CONFLICT (blob) DO UPDATE SET due_at = excluded.due_at
"""
RELEASE = "INSERT INTO released_model (model_id, tenant_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
DELETE = "DELETE FROM model WHERE model_id = $1"


class SqlModels:
    """The models' half of a services.model.domain.registry_ports.ModelStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, model_id: str, tenant_id: str, text: ModelText, created_by: str) -> Model:
        """Or the one of that name that is still empty."""
        async with self._database.transaction(tenant_id) as tx:
            row = await tx.fetchrow(INSERT, model_id, tenant_id, created_by, *rows.text(text))
            if row is None:
                row = await _empty(tx, tenant_id, text.name)
            return await _read(tx, row)

    async def get(self, tenant_id: str, model_id: str) -> Model:
        """One statement."""
        row = await self._database.fetchrow(GET, tenant_id, model_id, tenant=tenant_id)
        if row is None:
            raise model_not_found(model_id)
        return _whole(row)

    async def find(self, tenant_id: str, id_or_name: str) -> Model:
        """One statement; an id wins."""
        row = await self._database.fetchrow(FIND, tenant_id, id_or_name, tenant=tenant_id)
        if row is None:
            raise model_not_found(id_or_name)
        return _whole(row)

    async def list(self, tenant_id: str, query: ModelQuery) -> Sequence[Model]:
        """Keyset by the time of the last change."""
        at, last = query.before or (None, None)
        tag = None if query.tag is None else rows.to_json({query.tag[0]: query.tag[1]})
        filters = (at, last, query.name_contains, tag, query.limit)
        return [_whole(row) for row in await self._database.fetch(LIST, tenant_id, *filters, tenant=tenant_id)]

    async def change(self, tenant_id: str, model_id: str, change: Callable[[Model], Model]) -> Model:
        """Only the text can change so."""
        try:
            async with self._database.transaction(tenant_id) as tx:
                model = change(await locked(tx, tenant_id, model_id))
                return await _read(tx, await tx.fetchrow(UPDATE, model_id, *rows.text(model.text)))
        except asyncpg.UniqueViolationError as error:
            raise ModelNameTaken("another model of the tenant has that name: choose another one") from error

    async def delete(self, tenant_id: str, model_id: str, allow: Callable[[Deletion], None]) -> None:
        """The row is locked first, so that no run begins and no alias moves between the check and the end."""
        async with self._database.transaction(tenant_id) as tx:
            await tx.execute(LOCK_ALONE, tenant_id, model_id)
            model = await locked(tx, tenant_id, model_id)
            allow(Deletion(model=model, trains=await tx.fetchval(TRAINS, model_id)))
            await tx.execute(DISCARD, model_id)
            await tx.execute(RELEASE, model_id, tenant_id)
            await announce(tx, tenant_id, events.model_deleted(model), make_id=new_id)
            await tx.execute(DELETE, model_id)


async def locked(tx: Connection, tenant_id: str, model_id: str) -> Model:
    """The model, whose row nobody else changes until the transaction ends. Raises ModelNotFound."""
    row = await tx.fetchrow(LOCK, tenant_id, model_id)
    if row is None:
        raise model_not_found(model_id)
    return await _read(tx, row)


@asynccontextmanager
async def made_for(tx: Connection, tenant_id: str, model_id: str, first: str) -> AsyncGenerator[None]:
    """Within, the run or sweep `first` of a model that was made for it is written. Raises ModelNameTaken if another one
    has the model by then: both found it empty, and it was made for one of them only."""
    row = await tx.fetchrow(LOCK_ALONE, tenant_id, model_id)
    yield
    if row is not None and await tx.fetchval(USED, model_id, first):
        raise model_name_taken(row["name"], model_id)


async def _read(tx: Connection, row: Record | None) -> Model:
    assert row is not None  # noqa: S101 # it was locked, or comes of a RETURNING
    return rows.model(row, {each["alias"]: each["version"] for each in await tx.fetch(ALIASES, row["model_id"])})


def _whole(row: Record) -> Model:
    return rows.model(row, orjson.loads(row["aliases"]))


async def _empty(tx: Connection, tenant_id: str, name: str) -> Record:
    """The model of that name, if a start that failed left it behind with nothing in it. Raises ModelNameTaken."""
    row = await tx.fetchrow(LOCK_NAME, tenant_id, name)
    if row is None or row["latest_version"] > 0 or await tx.fetchval(USED, row["model_id"], ""):
        raise model_name_taken(name, row["model_id"] if row else "that another call makes now")
    return row
