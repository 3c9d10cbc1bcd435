"""When work is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from automesh.core.errors import Unavailable
from automesh.storage.fanout import LocalFanout
from services.doc.clients.hints import FanoutHints
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.jobs.job import Ending, Job, JobKind, JobState, NewJob
from services.doc.domain.jobs.report import Report
from services.doc.fakes.jobs import FakeJobStore
from services.doc.loops.jobs import MAX_ATTEMPTS, JobLoop


class PassingTime:
    """A clock that stands where it was put."""

    now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Waits(FakeJobStore):
    """Knows after which times jobs were to be tried again, and lets them pass."""

    def __init__(self, clock: PassingTime) -> None:
        super().__init__(clock)
        self.time, self.waits = clock, list[float]()

    async def give_back(self, job_id: str, attempt: int, after_s: float) -> None:
        await super().give_back(job_id, attempt, after_s)
        self.waits.append(after_s)
        self.time.now += timedelta(seconds=after_s + 1)


class Away:
    """A Work whose store never comes back."""

    async def run(self, job: Job, report: Report) -> Ending:
        raise Unavailable("the store of backups is away")


async def test_a_job_waits_longer_each_time_that_something_is_away_and_fails_after_minutes() -> None:
    jobs = Waits(PassingTime())
    await jobs.add(NewJob(job_id="job_1", tenant_id="t", kind=JobKind.BACKUP, created_by="ann"), most=1)
    works = {JobKind.BACKUP: Away()}
    loop = JobLoop(jobs, works, FanoutHints(LocalFanout()), Doorbell(), at_once=1, poll_s=5.0)
    for _ in range(MAX_ATTEMPTS):
        await loop.step()
    assert jobs.waits[:3] == [3, 6, 12]
    assert sum(jobs.waits) > 300
    ended = await jobs.get("t", "job_1")
    assert ended.state is JobState.FAILED
    assert "the store of backups is away" in ended.failure
    await loop.close()
