"""Leases in SQL: the set statements of `statements` over all tenants, each a transaction of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta

import structlog

from automesh.storage.postgres import ENGINE, Connection, Database, Record
from automesh.storage.sealing import SealBroken, Sealer
from services.orchestrator.domain.errors import lease_lost
from services.orchestrator.domain.lease import Ask, Ended, Fate, Hold, Outcome, Reaped, Report, Settled
from services.orchestrator.domain.ports import MAX_LOG_LINES
from services.orchestrator.domain.task import Failure, Status, Task
from services.orchestrator.store import statements as sql
from services.orchestrator.store.rows import CHECKPOINT, RESULT, TaskRows

log = structlog.get_logger(__name__)

UNREADABLE = "TASK_UNREADABLE"
UNREADABLE_TEXT = "the task cannot be decrypted: its key is not in the orchestrator's key file, or it was altered"


class SqlLeaseBook:
    """A services.orchestrator.domain.ports.LeaseBook."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._rows = TaskRows(sealer)

    async def lease(self, ask: Ask, offer_for: timedelta) -> Sequence[Task]:
        """The most urgent first; SKIP LOCKED keeps replicas out of each other's way."""
        rows = await self._database.fetch(
            sql.LEASE, list(ask.types), ask.tenant_id, list(ask.slots), offer_for, tenant=ENGINE
        )
        return await self._readable(rows)

    async def accept(self, holds: Collection[Hold], agent_id: str, lease_ttl: timedelta) -> set[Hold]:
        """Starts the clock of the attempt."""
        if not holds:
            return set()
        return _holds(await self._database.fetch(sql.ACCEPT, *_columns(holds), agent_id, lease_ttl, tenant=ENGINE))

    async def extend(self, holds: Mapping[Hold, str], lease_ttl: timedelta) -> set[Hold]:
        """Touches no index."""
        agents = list(holds.values())
        return _holds(await self._database.fetch(sql.EXTEND, *_columns(holds), agents, lease_ttl, tenant=ENGINE))

    async def withdraw(self, holds: Collection[Hold]) -> int:
        """Only what was not accepted."""
        tag = await self._database.execute(sql.WITHDRAW, *_columns(holds), tenant=ENGINE)
        return int(tag.rpartition(" ")[2])

    async def report(self, reports: Sequence[Report]) -> set[Hold]:
        """One update for all tasks, one insert for all lines."""
        columns = (
            *_columns(report.hold for report in reports),
            [report.agent_id for report in reports],
            [report.fraction for report in reports],
            [report.message for report in reports],
            [self._sealed_checkpoint(report) for report in reports],
            [len(report.lines) for report in reports],
        )
        async with self._database.transaction(ENGINE) as tx:
            rows = await tx.fetch(sql.REPORT, *columns)
            await _write_lines(tx, rows, {report.hold: report for report in reports})
        return _holds(rows)

    async def settle(self, outcomes: Sequence[Outcome]) -> Sequence[Settled]:
        """Completions, failures, and what was recorded before."""
        if not outcomes:
            return []
        rows = [*await self._complete(outcomes), *await self._fail(outcomes)]
        settled = [Settled(_hold(row), Status(row["status"]), True, row["retry_in_s"]) for row in rows]
        missing = {outcome.hold for outcome in outcomes} - {end.hold for end in settled}
        again = [outcome for outcome in outcomes if outcome.hold in missing]
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

    async def fates(self, holds: Collection[Hold]) -> Mapping[Hold, Fate]:
        """Read from the rows as they are now."""
        rows = await self._database.fetch(sql.FATES, *_columns(holds), tenant=ENGINE)
        return {_hold(row): Fate(Ended(row["ended"]), row["cancel_reason"] or "") for row in rows}

    async def held(self, hold: Hold) -> Task:
        """While the lease is good."""
        row = await self._database.fetchrow(sql.HELD, hold.task_id, hold.attempt, tenant=ENGINE)
        if row is None:
            raise lease_lost(hold.task_id, hold.attempt)
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
                broken.append(Outcome(_hold(row), row["agent_id"], failure=failure))
        await self.settle(broken)
        return tasks

    async def _complete(self, outcomes: Sequence[Outcome]) -> list[Record]:
        done = [(outcome, outcome.result) for outcome in outcomes if outcome.result is not None]
        if not done:
            return []
        sealed = [self._rows.seal(outcome.hold.task_id, RESULT, result.json) for outcome, result in done]
        agents = [outcome.agent_id for outcome, _ in done]
        holds = _columns(outcome.hold for outcome, _ in done)
        return await self._database.fetch(sql.COMPLETE, *holds, agents, sealed, tenant=ENGINE)

    async def _fail(self, outcomes: Sequence[Outcome]) -> list[Record]:
        failed: list[tuple[Outcome, Failure]] = [(o, o.failure) for o in outcomes if o.failure is not None]
        if not failed:
            return []
        return await self._database.fetch(
            sql.FAIL,
            *_columns(outcome.hold for outcome, _ in failed),
            [outcome.agent_id for outcome, _ in failed],
            [failure.reason for _, failure in failed],
            [failure.message for _, failure in failed],
            [failure.retryable for _, failure in failed],
            [outcome.jitter for outcome, _ in failed],
            tenant=ENGINE,
        )

    async def _settled_before(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        agents = [outcome.agent_id for outcome in outcomes]
        holds = _columns(outcome.hold for outcome in outcomes)
        rows = await self._database.fetch(sql.SETTLED, *holds, agents, tenant=ENGINE)
        return [Settled(_hold(row), Status(row["status"]), fresh=False) for row in rows]

    def _sealed_checkpoint(self, report: Report) -> bytes | None:
        if report.checkpoint is None:
            return None
        return self._rows.seal(report.hold.task_id, CHECKPOINT, report.checkpoint)


async def _write_lines(tx: Connection, rows: Iterable[Record], reports: Mapping[Hold, Report]) -> None:
    lines: list[tuple[str, str, int, int, str]] = []
    full: list[tuple[str, int]] = []
    for row in rows:
        written = reports[_hold(row)].lines
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


def _columns(holds: Iterable[Hold]) -> tuple[list[str], list[int]]:
    both = list(holds)
    return [hold.task_id for hold in both], [hold.attempt for hold in both]


def _hold(row: Record) -> Hold:
    return Hold(row["task_id"], row["attempt"])


def _holds(rows: Iterable[Record]) -> set[Hold]:
    return {_hold(row) for row in rows}


def _reaped(row: Record, ended: Ended) -> Reaped:
    return Reaped(_hold(row), row["agent_id"], Status(row["status"]), ended, row["retry_in_s"])
