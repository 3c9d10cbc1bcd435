"""Leases in SQL: the set statements of `statements` over all tenants, each a transaction of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta

import structlog

from automesh.storage.postgres import ENGINE, Connection, Database, Record, row_count
from automesh.storage.sealing import SealBroken, Sealer
from services.orchestrator.domain.errors import lease_lost
from services.orchestrator.domain.lease import (
    Ended,
    LeaseKey,
    LeaseLoss,
    LeaseRequest,
    Outcome,
    Reaped,
    Report,
    Settled,
)
from services.orchestrator.domain.ports import MAX_LOG_LINES
from services.orchestrator.domain.task import Failure, Status, Task
from services.orchestrator.store import statements as sql
from services.orchestrator.store.rows import CHECKPOINT, RESULT, TaskRows

log = structlog.get_logger(__name__)

UNREADABLE = "TASK_UNREADABLE"
UNREADABLE_TEXT = "the task cannot be decrypted: its key is not in the orchestrator's key file, or it was altered"


class SqlLeaseStore:
    """A services.orchestrator.domain.ports.LeaseStore."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._rows = TaskRows(sealer)

    async def lease(self, request: LeaseRequest, offer_for: timedelta) -> Sequence[Task]:
        """The most urgent first; SKIP LOCKED keeps replicas out of each other's way."""
        rows = await self._database.fetch(
            sql.LEASE, list(request.types), request.tenant_id, list(request.slots), offer_for, tenant=ENGINE
        )
        return await self._readable(rows)

    async def accept(self, lease_keys: Collection[LeaseKey], agent_id: str, lease_ttl: timedelta) -> set[LeaseKey]:
        """Starts the clock of the attempt."""
        if not lease_keys:
            return set()
        return _lease_keys(
            await self._database.fetch(sql.ACCEPT, *_columns(lease_keys), agent_id, lease_ttl, tenant=ENGINE)
        )

    async def extend(self, lease_keys: Mapping[LeaseKey, str], lease_ttl: timedelta) -> set[LeaseKey]:
        """Touches no index."""
        agents = list(lease_keys.values())
        return _lease_keys(
            await self._database.fetch(sql.EXTEND, *_columns(lease_keys), agents, lease_ttl, tenant=ENGINE)
        )

    async def withdraw(self, lease_keys: Collection[LeaseKey]) -> int:
        """Only what was not accepted."""
        tag = await self._database.execute(sql.WITHDRAW, *_columns(lease_keys), tenant=ENGINE)
        return row_count(tag)

    async def report(self, reports: Sequence[Report]) -> set[LeaseKey]:
        """One update for all tasks, one insert for all lines."""
        columns = (
            *_columns(report.lease_key for report in reports),
            [report.agent_id for report in reports],
            [report.fraction for report in reports],
            [report.message for report in reports],
            [self._sealed_checkpoint(report) for report in reports],
            [len(report.lines) for report in reports],
        )
        async with self._database.transaction(ENGINE) as tx:
            rows = await tx.fetch(sql.REPORT, *columns)
            await _write_lines(tx, rows, {report.lease_key: report for report in reports})
        return _lease_keys(rows)

    async def settle(self, outcomes: Sequence[Outcome]) -> Sequence[Settled]:
        """Completions, failures, and what was recorded before."""
        if not outcomes:
            return []
        rows = [*await self._complete(outcomes), *await self._fail(outcomes)]
        settled = [Settled(_lease_key(row), Status(row["status"]), True, row["retry_in_s"]) for row in rows]
        missing = {outcome.lease_key for outcome in outcomes} - {end.lease_key for end in settled}
        again = [outcome for outcome in outcomes if outcome.lease_key in missing]
        return [*settled, *(await self._settled_before(again) if again else ())]

    async def reap(self, *, limit: int, jitter: float) -> Sequence[Reaped]:
        """First what took too long, then what was not heard of."""
        async with self._database.transaction(ENGINE) as tx:
            timed_out = await tx.fetch(sql.TIME_OUT, limit, jitter)
            lapsed = await tx.fetch(sql.LAPSE, limit - len(timed_out)) if len(timed_out) < limit else []
        return [
            *(_reaped(row, Ended.TIMED_OUT) for row in timed_out),
            *(_reaped(row, Ended.STALE) for row in lapsed),
        ]

    async def losses(self, lease_keys: Collection[LeaseKey]) -> Mapping[LeaseKey, LeaseLoss]:
        """Read from the rows as they are now."""
        rows = await self._database.fetch(sql.LOSSES, *_columns(lease_keys), tenant=ENGINE)
        return {_lease_key(row): LeaseLoss(Ended(row["ended"]), row["cancel_reason"] or "") for row in rows}

    async def held(self, lease_key: LeaseKey) -> Task:
        """While the lease is good."""
        row = await self._database.fetchrow(sql.HELD, lease_key.task_id, lease_key.attempt, tenant=ENGINE)
        if row is None:
            raise lease_lost(lease_key.task_id, lease_key.attempt)
        return self._rows.task(row)

    async def _readable(self, rows: Sequence[Record]) -> list[Task]:
        """The tasks of leased rows. One that no key opens is given up, or it would be leased again and again."""
        tasks, broken = [], []
        for row in rows:
            try:
                tasks.append(self._rows.task(row))
            except SealBroken as error:
                log.error("task cannot be unsealed", task_id=row["task_id"], reason=error.reason, error=error.message)
                failure = Failure(UNREADABLE, UNREADABLE_TEXT, False, row["attempt"])
                broken.append(Outcome(_lease_key(row), row["agent_id"], failure=failure))
        await self.settle(broken)
        return tasks

    async def _complete(self, outcomes: Sequence[Outcome]) -> list[Record]:
        done = [(outcome, outcome.result) for outcome in outcomes if outcome.result is not None]
        if not done:
            return []
        sealed = [self._rows.seal(outcome.lease_key.task_id, RESULT, result.json) for outcome, result in done]
        agents = [outcome.agent_id for outcome, _ in done]
        lease_keys = _columns(outcome.lease_key for outcome, _ in done)
        return await self._database.fetch(sql.COMPLETE, *lease_keys, agents, sealed, tenant=ENGINE)

    async def _fail(self, outcomes: Sequence[Outcome]) -> list[Record]:
        failed: list[tuple[Outcome, Failure]] = [(o, o.failure) for o in outcomes if o.failure is not None]
        if not failed:
            return []
        return await self._database.fetch(
            sql.FAIL,
            *_columns(outcome.lease_key for outcome, _ in failed),
            [outcome.agent_id for outcome, _ in failed],
            [failure.reason for _, failure in failed],
            [failure.message for _, failure in failed],
            [failure.retryable for _, failure in failed],
            [outcome.jitter for outcome, _ in failed],
            tenant=ENGINE,
        )

    async def _settled_before(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        agents = [outcome.agent_id for outcome in outcomes]
        lease_keys = _columns(outcome.lease_key for outcome in outcomes)
        rows = await self._database.fetch(sql.SETTLED, *lease_keys, agents, tenant=ENGINE)
        return [Settled(_lease_key(row), Status(row["status"]), fresh=False) for row in rows]

    def _sealed_checkpoint(self, report: Report) -> bytes | None:
        if report.checkpoint is None:
            return None
        return self._rows.seal(report.lease_key.task_id, CHECKPOINT, report.checkpoint)


async def _write_lines(tx: Connection, rows: Iterable[Record], reports: Mapping[LeaseKey, Report]) -> None:
    lines: list[tuple[str, str, int, int, str]] = []
    full: list[tuple[str, int]] = []
    for row in rows:
        written = reports[_lease_key(row)].lines
        first = row["log_sequence"] - len(written) + 1
        lines += [
            (row["tenant_id"], row["task_id"], sequence, row["attempt"], text)
            for sequence, text in enumerate(written, start=first)
        ]
        if written and row["log_sequence"] > MAX_LOG_LINES:
            full.append((row["task_id"], row["log_sequence"] - MAX_LOG_LINES))
    if lines:
        await tx.execute(sql.LOG, *(list(column) for column in zip(*lines, strict=True)))
    if full:
        await tx.execute(sql.TRIM_LOG, *(list(column) for column in zip(*full, strict=True)))


def _columns(lease_keys: Iterable[LeaseKey]) -> tuple[list[str], list[int]]:
    both = list(lease_keys)
    return [lease_key.task_id for lease_key in both], [lease_key.attempt for lease_key in both]


def _lease_key(row: Record) -> LeaseKey:
    return LeaseKey(row["task_id"], row["attempt"])


def _lease_keys(rows: Iterable[Record]) -> set[LeaseKey]:
    return {_lease_key(row) for row in rows}


def _reaped(row: Record, ended: Ended) -> Reaped:
    return Reaped(_lease_key(row), row["agent_id"], Status(row["status"]), ended, row["retry_in_s"])
