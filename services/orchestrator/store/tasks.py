"""Tasks in SQL, as people see them: one tenant at a time, behind row-level security."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import asyncpg
import orjson

from automesh.storage.postgres import ENGINE, Connection, Database, Record
from automesh.storage.sealing import Sealer, place
from services.orchestrator.domain.errors import (
    queue_full,
    request_reused,
    task_not_found,
    task_still_running,
    unknown_task_type,
)
from services.orchestrator.domain.ports import Page, TaskQuery, Version
from services.orchestrator.domain.task import Draft, LogLine, Status, Task
from services.orchestrator.store.rows import INPUT, TaskRows, line

MAX_PAGE_BYTES = 1024 * 1024
"""Inputs and results of one page together, as sealed; the first task of a page always fits."""

# Every create holds a connection, so no more than max_connections are on their way at once: while the queue is further
# than that from its limit they may run side by side (shared lock). Near the limit they take turns (exclusive lock), so
# that two cannot both take the last place. Counting live rows needs no counter that could drift; it costs more the
# longer the queue is.
LOCK_SHARED = "SELECT pg_advisory_xact_lock_shared(hashtextextended('automesh.queue.' || $1, 0))"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('automesh.queue.' || $1, 0))"
ADMIT = """
SELECT EXISTS (SELECT FROM task_type WHERE type = $2 AND tenant_id IN ('', $1)) AS known,
       (SELECT count(*) FROM (SELECT FROM task WHERE tenant_id = $1 AND status IN ('SCHEDULED', 'OFFERED') LIMIT $3) w)
           AS waiting,
       current_setting('max_connections')::int AS side_by_side, r.task_id, r.fingerprint
  FROM (VALUES (1)) one LEFT JOIN task_request r ON r.tenant_id = $1 AND r.request_id = $4
"""
INSERT = """
INSERT INTO task (task_id, tenant_id, type, description, priority, input, timeout_s, max_retries, retry_delay_s,
                  retry_multiplier, run_at, created_by, created_by_name, traceparent, ready_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, greatest($11, now()))
RETURNING *
"""
REMEMBER = "INSERT INTO task_request (tenant_id, request_id, task_id, fingerprint) VALUES ($1, $2, $3, $4)"
GET = "SELECT * FROM task WHERE tenant_id = $1 AND task_id = $2"
LIST = """
WITH page AS MATERIALIZED (
    SELECT * FROM task
     WHERE tenant_id = $1 AND ($2::text IS NULL OR task_id < $2)
       AND ($3::text[] = '{}' OR status = ANY ($3)) AND ($4::text[] = '{}' OR type = ANY ($4))
     ORDER BY task_id DESC LIMIT $5
), sized AS (
    SELECT *, row_number() OVER newest AS place, count(*) OVER () AS found,
           sum(octet_length(input) + coalesce(octet_length(result), 0)) OVER newest AS bytes
      FROM page WINDOW newest AS (ORDER BY task_id DESC)
)
SELECT * FROM sized WHERE place = 1 OR (bytes <= $6 AND place < $5) ORDER BY task_id DESC
"""
UPDATE = """
UPDATE task
   SET description = $3, priority = $4, input = $5, run_at = $6, ready_at = $7, status = $8, lease_until = $9,
       deadline_at = $10, finished_at = $11, cancel_reason = $12, updated_at = $13, revision = $14
 WHERE tenant_id = $1 AND task_id = $2
"""
DISCARD = """
INSERT INTO discarded_blob (blob, due_at) SELECT blob, now() FROM artifact WHERE tenant_id = $1 AND task_id = $2
ON CONFLICT (blob) DO UPDATE SET due_at = excluded.due_at
"""
DROP_ARTIFACTS = "DELETE FROM artifact WHERE tenant_id = $1 AND task_id = $2"
DELETE = "DELETE FROM task WHERE tenant_id = $1 AND task_id = $2"
VERSION = "SELECT revision, log_sequence FROM task WHERE tenant_id = $1 AND task_id = $2"
LINES = """
SELECT sequence, written_at, line, attempt FROM task_log
 WHERE tenant_id = $1 AND task_id = $2 AND sequence > $3 ORDER BY sequence LIMIT $4
"""
FORGET_REQUESTS = """
WITH old AS (SELECT tenant_id, request_id FROM task_request WHERE created_at < now() - $1::interval LIMIT 10000),
gone AS (DELETE FROM task_request r USING old
          WHERE r.tenant_id = old.tenant_id AND r.request_id = old.request_id RETURNING 1)
SELECT count(*) FROM gone
"""
WAITING_DEPTH = "SELECT count(*) FROM (SELECT FROM task WHERE status IN ('SCHEDULED', 'OFFERED') LIMIT $1) t"
RUNNING_DEPTH = """
SELECT count(*) FILTER (WHERE status = 'RUNNING')
  FROM (SELECT status FROM task WHERE status IN ('OFFERED', 'RUNNING') LIMIT $1) t
"""


class SqlTaskStore:
    """A services.orchestrator.domain.ports.TaskStore.

    In this first form finished tasks stay in the table of the waiting ones, and every create is a commit of its own.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        self._rows = TaskRows(sealer)

    async def create(self, draft: Draft, *, request_id: str, queue_limit: int) -> tuple[Task, bool]:
        """Admits and inserts in one transaction: beside others while there is room, else alone."""
        for lock in (LOCK_SHARED, LOCK):
            with suppress(asyncpg.UniqueViolationError):  # the same request came first: now we see it
                made = await self._create(draft, request_id, queue_limit, lock)
                if made is not None:
                    return made
        raise AssertionError("unreachable: alone, a create is made or refused")

    async def _create(self, draft: Draft, request_id: str, queue_limit: int, lock: str) -> tuple[Task, bool] | None:
        """None when the queue is too full for creates side by side."""
        tenant_id = draft.tenant_id
        async with self._database.transaction(tenant_id) as tx:
            await tx.execute(lock, tenant_id)
            found = await tx.fetchrow(ADMIT, tenant_id, draft.spec.type, queue_limit, request_id)
            assert found is not None  # noqa: S101 # one row by construction
            if found["task_id"] is not None:
                self._check_same(draft, request_id, found["fingerprint"])
                return await self._get(tx, tenant_id, found["task_id"]), False
            if lock is LOCK_SHARED and found["waiting"] + found["side_by_side"] >= queue_limit:
                return None
            _admit(draft, known=found["known"], waiting=found["waiting"], limit=queue_limit)
            return await self._insert(tx, draft, request_id), True

    async def _insert(self, tx: Connection, draft: Draft, request_id: str) -> Task:
        row = await tx.fetchrow(INSERT, *self._rows.created(draft))
        assert row is not None  # noqa: S101 # INSERT ... RETURNING
        if request_id:
            sealed = self._sealer.seal(_fingerprint(draft), _place(draft.tenant_id, request_id))
            await tx.execute(REMEMBER, draft.tenant_id, request_id, draft.task_id, sealed)
        return self._rows.task(row)

    async def get(self, tenant_id: str, task_id: str) -> Task:
        """One row."""
        row = await self._database.fetchrow(GET, tenant_id, task_id, tenant=tenant_id)
        return self._found(row, task_id)

    async def list(self, tenant_id: str, query: TaskQuery) -> Page:
        """Keyset by id; ends early when inputs and results get too big for one answer."""
        rows = await self._database.fetch(
            LIST,
            tenant_id,
            query.before,
            sorted(query.statuses),
            sorted(query.types),
            query.limit + 1,
            MAX_PAGE_BYTES,
            tenant=tenant_id,
        )
        tasks = [self._rows.task(row) for row in rows]
        return Page(tasks, more=bool(rows) and rows[0]["found"] > len(rows))

    async def change(self, tenant_id: str, task_id: str, change: Callable[[Task, datetime], Task]) -> tuple[Task, Task]:
        """Under the row's lock, with the database's time."""
        async with self._database.transaction(tenant_id) as tx:
            before = await self._get(tx, tenant_id, task_id, locked=True)
            # Taken after the lock: what changed the row before us is in the past of this moment.
            after = change(before, await tx.fetchval("SELECT clock_timestamp()"))
            await tx.execute(UPDATE, *self._changed(after))
        return before, after

    async def delete(self, tenant_id: str, task_id: str) -> None:
        """The row with its lines and artifacts; their blobs are swept up later."""
        async with self._database.transaction(tenant_id) as tx:
            task = await self._get(tx, tenant_id, task_id, locked=True)
            if task.status is Status.RUNNING:
                raise task_still_running(task_id)
            for statement in (DISCARD, DROP_ARTIFACTS, DELETE):
                await tx.execute(statement, tenant_id, task_id)

    async def version(self, tenant_id: str, task_id: str) -> Version:
        """Two numbers of the row."""
        row = await self._database.fetchrow(VERSION, tenant_id, task_id, tenant=tenant_id)
        if row is None:
            raise task_not_found(task_id)
        return Version(row["revision"], row["log_sequence"])

    async def lines(self, tenant_id: str, task_id: str, *, after: int, limit: int) -> Sequence[LogLine]:
        """By sequence."""
        rows = await self._database.fetch(LINES, tenant_id, task_id, after, limit, tenant=tenant_id)
        return [line(row) for row in rows]

    async def forget_requests(self, older_than: timedelta) -> int:
        """Up to 10,000 at a time."""
        count: int = await self._database.fetchval(FORGET_REQUESTS, older_than, tenant=ENGINE)
        return count

    async def queue_depth(self, limit: int) -> Mapping[Status, int]:
        """Bounded counts over the partial indexes."""
        async with self._database.transaction(ENGINE) as tx:
            return {
                Status.SCHEDULED: await tx.fetchval(WAITING_DEPTH, limit),
                Status.RUNNING: await tx.fetchval(RUNNING_DEPTH, limit),
            }

    async def _get(self, tx: Connection, tenant_id: str, task_id: str, *, locked: bool = False) -> Task:
        return self._found(await tx.fetchrow(GET + " FOR UPDATE" if locked else GET, tenant_id, task_id), task_id)

    def _found(self, row: Record | None, task_id: str) -> Task:
        if row is None:
            raise task_not_found(task_id)
        return self._rows.task(row)

    def _changed(self, task: Task) -> tuple[object, ...]:
        spec = task.spec
        return (
            task.tenant_id,
            task.task_id,
            spec.description,
            spec.priority,
            self._rows.seal(task.task_id, INPUT, spec.input.json),
            spec.run_at,
            task.ready_at,
            task.status,
            task.lease_until,
            task.deadline_at,
            task.finished_at,
            task.cancel_reason,
            task.updated_at,
            task.revision,
        )

    def _check_same(self, draft: Draft, request_id: str, sealed: bytes) -> None:
        if self._sealer.unseal(sealed, _place(draft.tenant_id, request_id)) != _fingerprint(draft):
            raise request_reused(request_id)


def _admit(draft: Draft, *, known: bool, waiting: int, limit: int) -> None:
    if not known:
        raise unknown_task_type(draft.spec.type)
    if waiting >= limit:
        raise queue_full(waiting, limit)


def _fingerprint(draft: Draft) -> bytes:
    spec = draft.spec
    asked = [
        spec.type,
        spec.description,
        spec.priority,
        spec.input.json.decode(),
        spec.timeout.total_seconds(),
        spec.run_at,
        spec.retry.max_retries,
        spec.retry.initial_delay.total_seconds(),
        spec.retry.multiplier,
    ]
    return hashlib.sha256(orjson.dumps(asked)).digest()


def _place(tenant_id: str, request_id: str) -> bytes:
    return place("task_request", tenant_id, request_id)
