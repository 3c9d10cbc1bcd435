"""Runs in SQL: one tenant at a time, behind row-level security; agents and loops find theirs by key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta

import asyncpg

from automesh.core.ids import new_id
from automesh.storage.postgres import ENGINE, Connection, Database, Record
from services.model.domain.registry.errors import model_not_found
from services.model.domain.runs.errors import request_reused, run_not_found, too_many_runs
from services.model.domain.runs.ports import Change, Recording, RunQuery, Stamp
from services.model.domain.runs.progress import MetricPoint
from services.model.domain.runs.run import Run
from services.model.domain.webhooks.run_events import ended
from services.model.store import run_rows as rows
from services.model.store.models import made_for
from services.model.store.outbox import announce

LIVE = "SELECT count(*) FROM (SELECT FROM run WHERE tenant_id = $1 AND state IN ('QUEUED', 'RUNNING') LIMIT $2) live"
INSERT = """
INSERT INTO run (run_id, spec, state, submission, waits_for_gpu, claims, last_batch, last_sequence, model_version,
                 failure_reason, failure_message, cancel_reason, detail, settled, started_at, finished_at, heard_at,
                 revision, tenant_id, model_id, sweep_id, created_by, request_id, fingerprint)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
RETURNING *
"""
UPDATE = """
UPDATE run
   SET spec = $2, state = $3, submission = $4, waits_for_gpu = $5, claims = $6, last_batch = $7, last_sequence = $8,
       model_version = $9, failure_reason = $10, failure_message = $11, cancel_reason = $12, detail = $13,
       settled = $14, started_at = $15, finished_at = $16, heard_at = $17, revision = $18
 WHERE run_id = $1
"""
GET = "SELECT * FROM run WHERE tenant_id = $1 AND run_id = $2"
BY_REQUEST = "SELECT * FROM run WHERE tenant_id = $1 AND request_id = $2"
BY_KEY = "SELECT r.* FROM run_key k JOIN run r USING (run_id) WHERE k.key = $1"
LIST = """
SELECT * FROM run
 WHERE tenant_id = $1 AND ($2::text IS NULL OR run_id < $2) AND ($3 = '' OR model_id = $3)
   AND ($4::text IS NULL OR state = $4) AND ($5 = '' OR sweep_id = $5)
 ORDER BY run_id DESC LIMIT $6
"""
DELETE = "DELETE FROM run WHERE tenant_id = $1 AND run_id = $2 AND claims = 0 AND state = 'QUEUED'"
STAMP = "SELECT revision, last_sequence FROM run WHERE tenant_id = $1 AND run_id = $2"
ADD_KEYS = "INSERT INTO run_key (key, tenant_id, run_id) SELECT key, $2, $3 FROM unnest($1::text[]) key"
DROP_KEYS = "DELETE FROM run_key WHERE run_id = $1 AND key = ANY ($2::text[])"
DISCARD = """
INSERT INTO discarded_blob (blob, due_at) SELECT blob, now() FROM unnest($1::text[]) blob
ON CONFLICT (blob) DO UPDATE SET due_at = excluded.due_at
"""
KEEP = "DELETE FROM discarded_blob WHERE blob = ANY ($1::text[])"
RESERVE = "INSERT INTO discarded_blob (blob, due_at) VALUES ($1, now() + $2::interval)"
RECORD = """
INSERT INTO metric_point (run_id, tenant_id, sequence, name, value, step, epoch, measured_at)
SELECT $1, $2, * FROM unnest($3::bigint[], $4::text[], $5::float8[], $6::bigint[], $7::int[], $8::timestamptz[])
"""
POINTS = """
SELECT * FROM metric_point
 WHERE tenant_id = $1 AND run_id = $2 AND sequence > $3 AND ($4::text[] = '{}' OR name = ANY ($4))
 ORDER BY sequence LIMIT $5
"""
UNHEARD = """
WITH due AS (
    SELECT run_id FROM run
     WHERE NOT settled AND checked_at < now() - $1::interval
       AND (finished_at IS NOT NULL OR coalesce(heard_at, created_at) < now() - $1::interval)
     ORDER BY checked_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE run r SET checked_at = now() FROM due WHERE r.run_id = due.run_id RETURNING r.*
"""
FORGET_OLD = """
WITH old AS (
    SELECT p.run_id, p.sequence FROM run r JOIN metric_point p USING (run_id)
     WHERE r.last_sequence > 0 AND r.finished_at < now() - $1::interval LIMIT $2
), gone AS (DELETE FROM metric_point p USING old WHERE p.run_id = old.run_id AND p.sequence = old.sequence RETURNING 1)
SELECT count(*) FROM gone
"""
FORGET_MANY = """
WITH many AS (
    SELECT p.run_id, p.sequence FROM run r JOIN metric_point p USING (run_id)
     WHERE r.last_sequence > $1 AND p.sequence <= r.last_sequence - $1 LIMIT $2
), gone AS (
    DELETE FROM metric_point p USING many WHERE p.run_id = many.run_id AND p.sequence = many.sequence RETURNING 1
)
SELECT count(*) FROM gone
"""


class SqlRunStore:
    """A services.model.domain.run_ports.RunStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, run: Run, *, request_id: str = "", fingerprint: str = "", limit: int, new_model: bool = False
    ) -> tuple[Run, bool]:
        """In one transaction; whoever comes second sees what the first one made."""
        try:
            async with self._database.transaction(run.tenant_id) as tx, AsyncExitStack() as held:
                if new_model:
                    await held.enter_async_context(made_for(tx, run.tenant_id, run.model_id, run.run_id))
                live = await tx.fetchval(LIVE, run.tenant_id, limit)
                if live >= limit:
                    raise too_many_runs(live, limit)
                created = (run.tenant_id, run.model_id, run.sweep_id, run.created_by, request_id, fingerprint)
                row = await tx.fetchrow(INSERT, *rows.changed(run), *created)
                await tx.execute(ADD_KEYS, sorted(rows.keys(run)), run.tenant_id, run.run_id)
        except asyncpg.UniqueViolationError:
            return await self._first(run, request_id, fingerprint), False
        except asyncpg.ForeignKeyViolationError as error:
            raise model_not_found(run.model_id) from error
        assert row is not None  # noqa: S101 # INSERT ... RETURNING
        return rows.run(row), True

    async def by_request(self, tenant_id: str, request_id: str, fingerprint: str) -> Run | None:
        """One row."""
        row = await self._database.fetchrow(BY_REQUEST, tenant_id, request_id, tenant=tenant_id)
        if row is not None and row["fingerprint"] != fingerprint:
            raise request_reused(request_id)
        return rows.run(row) if row is not None else None

    async def get(self, tenant_id: str, run_id: str) -> Run:
        """One row."""
        return _found(await self._database.fetchrow(GET, tenant_id, run_id, tenant=tenant_id), run_id)

    async def of_task(self, task_id: str) -> Run | None:
        """By key."""
        return await self._of_key(rows.task_key(task_id))

    async def of_token(self, token: str) -> Run | None:
        """By key."""
        return await self._of_key(rows.token_key(token))

    async def list(self, tenant_id: str, query: RunQuery) -> Sequence[Run]:
        """Keyset by id."""
        found = await self._database.fetch(
            LIST,
            tenant_id,
            query.before,
            query.model_id,
            query.state,
            query.sweep_id,
            query.limit,
            tenant=tenant_id,
        )
        return [rows.run(row) for row in found]

    async def change(self, tenant_id: str, run_id: str, change: Change) -> tuple[Run, Run]:
        """Under the row's lock, with the database's time."""
        async with self._database.transaction(tenant_id) as tx:
            before, now = await _locked(tx, tenant_id, run_id)
            after = change(before, now)
            await _write(tx, before, after)
        return before, after

    async def record(self, tenant_id: str, run_id: str, recording: Recording) -> Run:
        """The same, and the points with it."""
        async with self._database.transaction(tenant_id) as tx:
            before, now = await _locked(tx, tenant_id, run_id)
            after, points = recording(before, now)
            await _write(tx, before, after)
            if points:
                await tx.execute(RECORD, run_id, tenant_id, *rows.columns(points))
        return after

    async def delete(self, tenant_id: str, run_id: str) -> None:
        """One row, if nobody claimed it."""
        await self._database.execute(DELETE, tenant_id, run_id, tenant=tenant_id)

    async def stamp(self, tenant_id: str, run_id: str) -> Stamp:
        """Two numbers of the row."""
        row = await self._database.fetchrow(STAMP, tenant_id, run_id, tenant=tenant_id)
        if row is None:
            raise run_not_found(run_id)
        return Stamp(row["revision"], row["last_sequence"])

    async def points(
        self, tenant_id: str, run_id: str, *, after: int, limit: int, names: Collection[str] = ()
    ) -> Sequence[MetricPoint]:
        """By the primary key."""
        found = await self._database.fetch(POINTS, tenant_id, run_id, after, sorted(names), limit, tenant=tenant_id)
        return [rows.point(row) for row in found]

    async def reserve(self, blob: str, keep_for: timedelta) -> None:
        """Before the first byte is written."""
        await self._database.execute(RESERVE, blob, keep_for, tenant=None)

    async def unheard(self, *, silent_for: timedelta, limit: int) -> Sequence[Run]:
        """Each row to one replica."""
        found = await self._database.fetch(UNHEARD, silent_for, limit, tenant=ENGINE)
        return [rows.run(row) for row in found]

    async def forget_points(self, *, ended_for: timedelta, keep: int, limit: int) -> int:
        """Two bounded statements."""
        old: int = await self._database.fetchval(FORGET_OLD, ended_for, limit, tenant=ENGINE)
        many: int = await self._database.fetchval(FORGET_MANY, keep, limit, tenant=ENGINE)
        return old + many

    async def _of_key(self, key: str) -> Run | None:
        row = await self._database.fetchrow(BY_KEY, key, tenant=ENGINE)
        return rows.run(row) if row is not None else None

    async def _first(self, run: Run, request_id: str, fingerprint: str) -> Run:
        """The run that was there before, whatever the two have in common."""
        if request_id and (found := await self.by_request(run.tenant_id, request_id, fingerprint)):
            return found
        for key in sorted(rows.keys(run)):
            if found := await self._of_key(key):
                return found
        return await self.get(run.tenant_id, run.run_id)


async def _locked(tx: Connection, tenant_id: str, run_id: str) -> tuple[Run, datetime]:
    run = _found(await tx.fetchrow(GET + " FOR UPDATE", tenant_id, run_id), run_id)
    # Taken after the lock: what changed the row before us is in the past of this moment.
    return run, await tx.fetchval("SELECT clock_timestamp()")


async def _write(tx: Connection, before: Run, after: Run) -> None:
    if after == before:
        return
    await tx.execute(UPDATE, *rows.changed(after))
    old, new = rows.keys(before), rows.keys(after)
    if gone := {key for key in old - new if key.startswith("token:")}:  # tasks lead to their run for ever
        await tx.execute(DROP_KEYS, after.run_id, sorted(gone))
    if fresh := new - old:
        await tx.execute(ADD_KEYS, sorted(fresh), after.tenant_id, after.run_id)
    if dropped := rows.blobs(before) - rows.blobs(after):
        await tx.execute(DISCARD, sorted(dropped))
    if kept := rows.blobs(after) - rows.blobs(before):
        await tx.execute(KEEP, sorted(kept))
    if event := ended(before, after):
        await announce(tx, after.tenant_id, event, make_id=new_id)


def _found(row: Record | None, run_id: str) -> Run:
    if row is None:
        raise run_not_found(run_id)
    return rows.run(row)
