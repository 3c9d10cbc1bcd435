"""Sweeps in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg

from automesh.storage.postgres import ENGINE, Database
from services.model.domain.registry.errors import model_not_found
from services.model.domain.runs.errors import request_reused, sweep_not_found
from services.model.domain.runs.ports import SweepChange
from services.model.domain.sweeps.sweep import Sweep
from services.model.store import run_rows as rows
from services.model.store.models import made_for

INSERT = """
INSERT INTO sweep (sweep_id, tenant_id, model_id, spec, method, trials, max_parallel, metric, higher_is_better,
                   created_by, request_id, fingerprint)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING *
"""
GET = "SELECT * FROM sweep WHERE tenant_id = $1 AND sweep_id = $2"
BY_REQUEST = "SELECT * FROM sweep WHERE tenant_id = $1 AND request_id = $2"
UPDATE = "UPDATE sweep SET trials = $2, state = $3, finished_at = $4 WHERE sweep_id = $1"
DUE = """
WITH due AS (
    SELECT sweep_id FROM sweep WHERE state = 'RUNNING' AND checked_at < now() - $1::interval
     ORDER BY checked_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE sweep s SET checked_at = now() FROM due WHERE s.sweep_id = due.sweep_id RETURNING s.*
"""


class SqlSweepStore:
    """A services.model.domain.run_ports.SweepStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, sweep: Sweep, *, request_id: str = "", fingerprint: str = "", new_model: bool = False
    ) -> tuple[Sweep, bool]:
        """In one transaction; whoever comes second sees what the first one made."""
        try:
            async with self._database.transaction(sweep.tenant_id) as tx, AsyncExitStack() as held:
                if new_model:
                    await held.enter_async_context(made_for(tx, sweep.tenant_id, sweep.model_id, sweep.sweep_id))
                row = await tx.fetchrow(INSERT, *rows.new_sweep(sweep), request_id, fingerprint)
        except asyncpg.UniqueViolationError:
            first = await self.by_request(sweep.tenant_id, request_id, fingerprint) if request_id else None
            return first or await self.get(sweep.tenant_id, sweep.sweep_id), False
        except asyncpg.ForeignKeyViolationError as error:
            raise model_not_found(sweep.model_id) from error
        assert row is not None  # noqa: S101 # INSERT ... RETURNING
        return rows.sweep(row), True

    async def by_request(self, tenant_id: str, request_id: str, fingerprint: str) -> Sweep | None:
        """One row."""
        row = await self._database.fetchrow(BY_REQUEST, tenant_id, request_id, tenant=tenant_id)
        if row is not None and row["fingerprint"] != fingerprint:
            raise request_reused(request_id)
        return rows.sweep(row) if row is not None else None

    async def get(self, tenant_id: str, sweep_id: str) -> Sweep:
        """One row."""
        row = await self._database.fetchrow(GET, tenant_id, sweep_id, tenant=tenant_id)
        if row is None:
            raise sweep_not_found(sweep_id)
        return rows.sweep(row)

    async def change(self, tenant_id: str, sweep_id: str, change: SweepChange) -> tuple[Sweep, Sweep]:
        """Under the row's lock, with the database's time."""
        async with self._database.transaction(tenant_id) as tx:
            row = await tx.fetchrow(GET + " FOR UPDATE", tenant_id, sweep_id)
            if row is None:
                raise sweep_not_found(sweep_id)
            before = rows.sweep(row)
            after = change(before, await tx.fetchval("SELECT clock_timestamp()"))
            await tx.execute(UPDATE, sweep_id, rows.trials(after), after.state, after.finished_at)
        return before, after

    async def due(self, *, every: timedelta, limit: int) -> Sequence[Sweep]:
        """Each row to one replica."""
        found = await self._database.fetch(DUE, every, limit, tenant=ENGINE)
        return [rows.sweep(row) for row in found]
