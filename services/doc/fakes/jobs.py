"""A JobStore in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

from automesh.core.clock import Clock
from services.doc.domain.jobs.errors import BackupRunning, JobCancelled, JobLost, TooManyJobs, job_not_found
from services.doc.domain.jobs.job import Ending, Job, JobKind, JobState, NewJob, Sight


@dataclass(slots=True)
class _Held:
    job: Job
    leased_until: datetime | None = None
    cancelled: bool = False


class FakeJobStore:
    """A services.doc.domain.jobs.ports.JobStore."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, _Held] = {}

    async def add(self, job: NewJob, *, most: int) -> Job:
        """See the port."""
        open_ = [held.job for held in self._held.values() if held.job.tenant_id == job.tenant_id and not held.job.ended]
        if len(open_) >= most:
            raise TooManyJobs(f"{most} jobs wait already: come again when some of them have ended", limit=most)
        if job.kind is JobKind.BACKUP and any(each.kind is JobKind.BACKUP for each in open_):
            raise BackupRunning("a backup is being made: wait for it")
        given = {each.name: getattr(job, each.name) for each in fields(NewJob)}
        made = Job(**given, state=JobState.QUEUED, created_at=self._clock())
        self._held[job.job_id] = _Held(made)
        return made

    async def get(self, tenant_id: str, job_id: str) -> Job:
        """See the port."""
        held = self._held.get(job_id)
        if held is None or held.job.tenant_id != tenant_id:
            raise job_not_found(job_id)
        return held.job

    async def list(self, tenant_id: str, *, space: str, limit: int, before: str) -> Sequence[Job]:
        """See the port."""
        found = [
            replace(held.job, problems=[], asked={}, place={})
            for held in self._held.values()
            if held.job.tenant_id == tenant_id and space in {"", held.job.space}
        ]
        found.sort(key=lambda each: each.job_id, reverse=True)
        return [each for each in found if not before or each.job_id < before][:limit]

    async def cancel(self, tenant_id: str, job_id: str) -> Job:
        """See the port."""
        job = await self.get(tenant_id, job_id)
        held = self._held[job_id]
        if not job.ended and not held.cancelled:
            held.cancelled = True
            held.job = replace(job, edition=job.edition + 1)
            if job.state is JobState.QUEUED:
                held.job = replace(held.job, state=JobState.CANCELLED, ended_at=self._clock())
        return held.job

    async def take(self, lease_s: float) -> Job | None:
        """See the port."""
        now = self._clock()
        for held in sorted(self._held.values(), key=lambda each: each.job.created_at):
            left = held.job.state is JobState.RUNNING and held.leased_until is not None and held.leased_until < now
            if held.job.state is JobState.QUEUED or left:
                held.job = replace(
                    held.job, state=JobState.RUNNING, attempt=held.job.attempt + 1, edition=held.job.edition + 1
                )
                held.leased_until = now + timedelta(seconds=lease_s)
                return held.job
        return None

    async def tell(self, job_id: str, attempt: int, sight: Sight, lease_s: float) -> None:
        """See the port."""
        held = self._mine(job_id, attempt)
        held.leased_until = self._clock() + timedelta(seconds=lease_s)
        held.job = _told(held.job, sight)
        _check(held)

    async def renew(self, job_id: str, attempt: int, lease_s: float) -> None:
        """See the port."""
        held = self._mine(job_id, attempt)
        held.leased_until = self._clock() + timedelta(seconds=lease_s)
        _check(held)

    async def give_back(self, job_id: str, attempt: int, after_s: float) -> None:
        """See the port."""
        held = self._held.get(job_id)
        if held is not None and held.job.attempt == attempt and held.job.state is JobState.RUNNING:
            held.leased_until = self._clock() + timedelta(seconds=after_s)

    async def end(self, job_id: str, attempt: int, sight: Sight, ending: Ending) -> None:
        """See the port."""
        held, now = self._mine(job_id, attempt), self._clock()
        held.leased_until = None
        held.job = replace(
            _told(held.job, sight),
            state=ending.state,
            failure=ending.failure,
            backup_id=ending.backup_id or held.job.backup_id,
            ended_at=now,
            expires_at=now + timedelta(seconds=ending.keep_for_s) if ending.keep_for_s else None,
            place={},
        )

    async def prune(self, keep_days: int) -> int:
        """See the port."""
        limit = self._clock() - timedelta(days=keep_days)
        old = [
            job_id for job_id, held in self._held.items() if held.job.ended_at is not None and held.job.ended_at < limit
        ]
        for job_id in old:
            del self._held[job_id]
        return len(old)

    def _mine(self, job_id: str, attempt: int) -> _Held:
        held = self._held.get(job_id)
        if held is None or held.job.attempt != attempt or held.job.state is not JobState.RUNNING:
            raise JobLost(f"another process works on {job_id}, or it is gone", jobId=job_id)
        return held


def _check(held: _Held) -> None:
    if held.cancelled:
        raise JobCancelled(f"the job {held.job.job_id} was cancelled", jobId=held.job.job_id)


def _told(job: Job, sight: Sight) -> Job:
    return replace(
        job,
        done=sight.done,
        total=sight.total,
        step=sight.step,
        tally=sight.tally,
        problems=list(sight.problems),
        place=dict(sight.place),
        edition=job.edition + 1,
    )
