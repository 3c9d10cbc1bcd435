"""Jobs in SQL. `attempt` is in the WHERE of everything that a worker says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

import asyncpg

from automesh.storage.postgres import ENGINE, Connection, Database, Record, row_count
from services.doc.domain.backups.backup import SCHEDULE
from services.doc.domain.jobs.errors import BackupRunning, JobCancelled, JobLost, TooManyJobs, job_not_found
from services.doc.domain.jobs.job import Ending, Job, JobKind, JobState, NewJob, Problem, Sight, Tally

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('doc.jobs.' || $1, 0))"
OPEN = "SELECT count(*) FROM job WHERE tenant_id = $1 AND state IN ('QUEUED', 'RUNNING')"
ADD = """
INSERT INTO job (job_id, tenant_id, kind, space, backup_id, asked, created_by, admin)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *
"""
RUNNING_BACKUP = """
SELECT job_id FROM job WHERE tenant_id = $1 AND kind = 'BACKUP' AND state IN ('QUEUED', 'RUNNING')
"""
GET = "SELECT * FROM job WHERE tenant_id = $1 AND job_id = $2"
LIST = """
SELECT *, '[]' AS problems FROM (
    SELECT job_id, tenant_id, kind, space, backup_id, '{}'::jsonb AS asked, created_by, admin, state, done, total, step,
           failure, tally, '{}'::jsonb AS place, attempt, edition, created_at, ended_at, expires_at FROM job
     WHERE tenant_id = $1 AND ($2 = '' OR space = $2) AND ($3 = '' OR job_id < $3) ORDER BY job_id DESC LIMIT $4) j
 ORDER BY job_id DESC
"""
# Of a job that has ended: the file that was sent, or that nobody can download.
FREEING = """
WITH changed AS ({change} RETURNING *), freed AS (
    UPDATE discarded_blob d SET due_at = now() FROM changed c
     WHERE d.blob = c.asked ->> 'blob' AND c.ended_at IS NOT NULL AND (c.kind = 'IMPORT' OR c.state <> 'DONE'))
SELECT * FROM changed
"""
CANCEL = FREEING.format(
    change="""
UPDATE job SET cancelled = true, edition = edition + 1,
               state = CASE state WHEN 'QUEUED' THEN 'CANCELLED' ELSE state END,
               ended_at = CASE state WHEN 'QUEUED' THEN now() END
 WHERE tenant_id = $1 AND job_id = $2 AND state IN ('QUEUED', 'RUNNING') AND NOT cancelled
"""
)
TAKE = """
UPDATE job SET state = 'RUNNING', attempt = attempt + 1, leased_until = now() + make_interval(secs => $1),
               edition = edition + 1
 WHERE job_id = (SELECT job_id FROM job WHERE state = 'QUEUED' OR (state = 'RUNNING' AND leased_until < now())
                  ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
"""
MINE = "WHERE job_id = $1 AND attempt = $2 AND state = 'RUNNING'"
TELL = """
UPDATE job SET leased_until = now() + make_interval(secs => $3), done = $4, total = $5, step = $6, tally = $7,
               problems = $8, place = $9, edition = edition + 1 {MINE} RETURNING cancelled
""".replace("{MINE}", MINE)
RENEW = "UPDATE job SET leased_until = now() + make_interval(secs => $3) {MINE} RETURNING cancelled".replace(
    "{MINE}", MINE
)
GIVE_BACK = "UPDATE job SET leased_until = now() + make_interval(secs => $3) {MINE}".replace("{MINE}", MINE)
END = FREEING.format(
    change="""
UPDATE job SET state = $3, failure = $4, backup_id = coalesce(nullif($5, ''), backup_id), done = $6, total = $7,
               step = $8, tally = $9, problems = $10, place = '{}', ended_at = now(), leased_until = NULL,
               expires_at = CASE WHEN $11::float > 0 THEN now() + make_interval(secs => $11) END, edition = edition + 1
 {MINE}
""".replace("{MINE}", MINE)
)
DUE = """
SELECT s.tenant_id FROM space s GROUP BY s.tenant_id
HAVING coalesce((SELECT max(j.created_at) FROM job j
                  WHERE j.tenant_id = s.tenant_id AND j.kind = 'BACKUP' AND j.created_by = $2), '-infinity')
       < now() - $1::interval
"""
PRUNE = """
DELETE FROM job WHERE job_id IN (
    SELECT job_id FROM job WHERE ended_at < now() - make_interval(days => $1) ORDER BY ended_at LIMIT 1000)
"""


class SqlJobStore:
    """A services.doc.domain.jobs.ports.JobStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, job: NewJob, *, most: int) -> Job:
        """Jobs of one tenant are admitted one after the other."""
        try:
            async with self._database.transaction(job.tenant_id) as tx:
                await tx.execute(LOCK, job.tenant_id)
                if await tx.fetchval(OPEN, job.tenant_id) >= most:
                    raise TooManyJobs(f"{most} jobs wait already: come again when some of them have ended", limit=most)
                row = await tx.fetchrow(
                    ADD, job.job_id, job.tenant_id, job.kind, job.space, job.backup_id, json.dumps(dict(job.asked)),
                    job.created_by, job.admin,
                )  # fmt: skip
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "job_one_backup":
                raise
            running = await self._database.fetchval(RUNNING_BACKUP, job.tenant_id, tenant=job.tenant_id)
            raise BackupRunning(f"a backup is being made: wait for the job {running}", jobId=running or "") from error
        assert row is not None  # noqa: S101 - INSERT ... RETURNING
        return _job(row)

    async def get(self, tenant_id: str, job_id: str) -> Job:
        """One row."""
        row = await self._database.fetchrow(GET, tenant_id, job_id, tenant=tenant_id)
        if row is None:
            raise job_not_found(job_id)
        return _job(row)

    async def list(self, tenant_id: str, *, space: str, limit: int, before: str) -> Sequence[Job]:
        """Keyset by id: ids sort by time."""
        found = await self._database.fetch(LIST, tenant_id, space, before, limit, tenant=tenant_id)
        return [_job(row) for row in found]

    async def cancel(self, tenant_id: str, job_id: str) -> Job:
        """One row."""
        row = await self._database.fetchrow(CANCEL, tenant_id, job_id, tenant=tenant_id)
        return _job(row) if row is not None else await self.get(tenant_id, job_id)

    async def take(self, lease_s: float) -> Job | None:
        """The oldest; two workers never wait for each other."""
        row = await self._database.fetchrow(TAKE, lease_s, tenant=ENGINE)
        return _job(row) if row is not None else None

    async def tell(self, job_id: str, attempt: int, sight: Sight, lease_s: float) -> None:
        """One row."""
        row = await self._database.fetchrow(TELL, job_id, attempt, lease_s, *_sight(sight), tenant=ENGINE)
        _check(row, job_id)

    async def tell_in(self, tx: Connection, job_id: str, attempt: int, sight: Sight, lease_s: float) -> None:
        """The same within a transaction of the work: it is written down only together with what it tells of."""
        _check(await tx.fetchrow(TELL, job_id, attempt, lease_s, *_sight(sight)), job_id)

    async def renew(self, job_id: str, attempt: int, lease_s: float) -> None:
        """One row."""
        _check(await self._database.fetchrow(RENEW, job_id, attempt, lease_s, tenant=ENGINE), job_id)

    async def give_back(self, job_id: str, attempt: int, after_s: float) -> None:
        """One row."""
        await self._database.execute(GIVE_BACK, job_id, attempt, after_s, tenant=ENGINE)

    async def end(self, job_id: str, attempt: int, sight: Sight, ending: Ending) -> None:
        """One row."""
        told = _sight(sight)[:5]
        row = await self._database.fetchrow(
            END, job_id, attempt, ending.state, ending.failure, ending.backup_id, *told, ending.keep_for_s,
            tenant=ENGINE,
        )  # fmt: skip
        if row is None:
            raise _lost(job_id)

    async def due(self, every: timedelta) -> Sequence[str]:
        """A services.doc.domain.backups.ports.Tenants."""
        return [row["tenant_id"] for row in await self._database.fetch(DUE, every, SCHEDULE, tenant=ENGINE)]

    async def prune(self, keep_days: int) -> int:
        """At most 1,000."""
        done = await self._database.execute(PRUNE, keep_days, tenant=ENGINE)
        return row_count(done)


def _check(row: Record | None, job_id: str) -> None:
    if row is None:
        raise _lost(job_id)
    if row["cancelled"]:
        raise JobCancelled(f"the job {job_id} was cancelled", jobId=job_id)


def _lost(job_id: str) -> JobLost:
    return JobLost(f"another process works on {job_id}, or it is gone", jobId=job_id)


def _sight(sight: Sight) -> tuple[object, ...]:
    problems = [[each.path, each.message] for each in sight.problems]
    return (
        sight.done, max(sight.total, 0), sight.step, json.dumps(asdict(sight.tally)), json.dumps(problems),
        json.dumps(dict(sight.place)),
    )  # fmt: skip


def _job(row: Record) -> Job:
    return Job(
        job_id=row["job_id"],
        tenant_id=row["tenant_id"],
        kind=JobKind(row["kind"]),
        space=row["space"],
        backup_id=row["backup_id"],
        asked=json.loads(row["asked"]),
        created_by=row["created_by"],
        admin=row["admin"],
        state=JobState(row["state"]),
        done=row["done"],
        total=row["total"],
        step=row["step"],
        failure=row["failure"],
        tally=Tally(**json.loads(row["tally"])),
        problems=[Problem(path, message) for path, message in json.loads(row["problems"])],
        place=json.loads(row["place"]),
        attempt=row["attempt"],
        edition=row["edition"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        expires_at=row["expires_at"],
    )
