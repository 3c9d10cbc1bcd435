"""Long work: taken, told of, cancelled, gone on with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from automesh.core.errors import ValidationError
from automesh.core.ids import new_id
from automesh.doc.v1 import job_pb2
from automesh.doc.v1 import job_service_pb2 as pb
from automesh.storage.fanout import LocalFanout
from automesh.testing.postgres import PostgresForTests
from services.doc.clients.hints import FanoutHints
from services.doc.domain.jobs.desk import JobDesk
from services.doc.domain.jobs.errors import BackupRunning, JobCancelled, JobLost, TooManyJobs
from services.doc.domain.jobs.job import Ending, Job, JobKind, JobState, NewJob, Tally
from services.doc.domain.jobs.report import Report
from services.doc.engine.core import Core
from services.doc.loops.jobs import MAX_ATTEMPTS, JobLoop
from services.doc.store.jobs import SqlJobStore
from tests.integration.doc.doc_house import Served, refused
from tests.integration.doc.doc_house_core import ANNA, BEN, doc_core
from tests.integration.doc.doc_house_transfer import Transfers, zipped

LIMIT_S = 20.0


class Scripted:
    """A Work that does what a test says."""

    def __init__(self, script: Callable[[Job, Report], Awaitable[Ending]]) -> None:
        self._script = script

    async def run(self, job: Job, report: Report) -> Ending:
        return await self._script(job, report)


@asynccontextmanager
async def working(
    core: Core, script: Callable[[Job, Report], Awaitable[Ending]], *, lease_s: float = 15.0
) -> AsyncIterator[JobDesk]:
    """A loop that does jobs by the script."""
    jobs, hints = SqlJobStore(core.outside.database), FanoutHints(LocalFanout())
    works = dict.fromkeys(JobKind, Scripted(script))
    loop = JobLoop(jobs, works, hints, core.doorbell, at_once=2, poll_s=0.1, lease_s=lease_s)

    async def run() -> None:
        while True:
            await loop.step()

    task = asyncio.create_task(run())
    try:
        yield JobDesk(jobs, core.directory, hints, core.doorbell, poll_s=0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await loop.close()


def new(kind: JobKind = JobKind.IMPORT, user: str = "anna", space: str = "guides") -> NewJob:
    return NewJob(job_id=new_id("job"), tenant_id="default", kind=kind, space=space, created_by=user)


async def ended(desk: JobDesk, job: Job) -> Job:
    return await desk.wait(job, timedelta(seconds=LIMIT_S))


@pytest.fixture
async def core(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Core]:
    async with doc_core(postgres, tmp_path) as core:
        yield core


async def test_a_watcher_sees_how_a_job_stands_every_change_and_its_end(core: Core) -> None:
    go = asyncio.Event()

    async def script(job: Job, report: Report) -> Ending:
        await report.begin("reading", total=3)
        await go.wait()
        report.done = 3
        report.count(Tally(created=3))
        report.mention("a.md", "look at it")
        return Ending()

    async with working(core, script) as desk, asyncio.timeout(LIMIT_S):
        job = await desk.start(new())
        seen = []
        async for each in desk.watch(ANNA, job.job_id):
            seen.append((each.state, each.step, each.done))
            if each.step == "reading":
                go.set()
        assert seen[0][0] in {JobState.QUEUED, JobState.RUNNING}
        assert seen[-1] == (JobState.DONE, "reading", 3)
        last = await desk.get(ANNA, job.job_id)
        assert last.tally.created == 3
        assert [each.message for each in last.problems] == ["look at it"]


async def test_work_that_a_dead_process_began_is_gone_on_with_from_its_place(core: Core) -> None:
    jobs = SqlJobStore(core.outside.database)
    await jobs.add(new(), most=9)
    dead = await jobs.take(0.05)
    assert dead is not None
    report = Report(
        dead, lambda sight: jobs.tell(dead.job_id, dead.attempt, sight, 0.05), seconds=lambda: 0.0, pause_s=0
    )
    await report.begin("half of it", place={"at": 7})
    places: list[object] = []

    async def script(job: Job, report: Report) -> Ending:
        places.append((job.attempt, report.place.get("at"), report.step))
        return Ending()

    async with working(core, script) as desk:
        done = await ended(desk, dead)
    assert (done.state, places) == (JobState.DONE, [(2, 7, "half of it")])
    with pytest.raises(JobLost):
        await report.tell(now=True)


async def test_a_job_that_waits_ends_when_it_is_cancelled_and_one_that_runs_is_stopped(core: Core) -> None:
    stopped, started = asyncio.Event(), asyncio.Event()

    async def script(job: Job, report: Report) -> Ending:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return Ending()

    jobs = SqlJobStore(core.outside.database)
    waiting = await jobs.add(new(), most=9)
    assert (await jobs.cancel("default", waiting.job_id)).state is JobState.CANCELLED
    async with working(core, script, lease_s=0.4) as desk, asyncio.timeout(LIMIT_S):
        job = await desk.start(new())
        await started.wait()
        await desk.cancel(ANNA, job.job_id)
        assert (await ended(desk, job)).state is JobState.CANCELLED
        await stopped.wait()


async def test_a_report_of_a_cancelled_job_stops_its_work_at_once(core: Core) -> None:
    jobs = SqlJobStore(core.outside.database)
    job = await jobs.add(new(), most=9)
    taken = await jobs.take(30)
    assert taken is not None
    await jobs.cancel("default", job.job_id)
    report = Report(taken, lambda sight: jobs.tell(taken.job_id, 1, sight, 30), seconds=lambda: 0.0, pause_s=0)
    with pytest.raises(JobCancelled):
        await report.tell(now=True)


async def test_a_failure_says_why_and_one_of_ours_hides_its_details(core: Core) -> None:
    async def script(job: Job, report: Report) -> Ending:
        if job.space:
            raise ValidationError("the file is upside down: turn it")
        raise RuntimeError("secret details")

    async with working(core, script) as desk:
        told = await ended(desk, await desk.start(new()))
        hidden = await ended(desk, await desk.start(new(space="")))
    assert (told.state, told.failure) == (JobState.FAILED, "the file is upside down: turn it")
    assert hidden.state is JobState.FAILED
    assert "secret" not in hidden.failure


async def test_a_process_that_stops_leaves_its_jobs_to_the_next_at_once(core: Core) -> None:
    started = asyncio.Event()

    async def hang(job: Job, report: Report) -> Ending:
        started.set()
        await asyncio.Event().wait()
        return Ending()

    async def finish(job: Job, report: Report) -> Ending:
        return Ending()

    async with working(core, hang, lease_s=3600) as desk, asyncio.timeout(LIMIT_S):
        job = await desk.start(new())
        await started.wait()
    async with working(core, finish) as desk:
        assert (await ended(desk, job)).state is JobState.DONE


async def test_a_job_that_no_process_survives_fails_in_the_end(core: Core) -> None:
    jobs = SqlJobStore(core.outside.database)
    job = await jobs.add(new(), most=9)
    for _ in range(MAX_ATTEMPTS):
        taken = await jobs.take(0.0)
        assert taken is not None

    async def never(job: Job, report: Report) -> Ending:
        raise AssertionError("it is not tried again")

    async with working(core, never) as desk:
        last = await ended(desk, job)
    assert last.state is JobState.FAILED
    assert str(MAX_ATTEMPTS) in last.failure


async def test_the_jobs_of_a_tenant_are_bounded_and_one_backup_is_made_at_a_time(core: Core) -> None:
    jobs = SqlJobStore(core.outside.database)
    for _ in range(2):
        await jobs.add(new(), most=3)
    await jobs.add(new(JobKind.BACKUP), most=3)
    with pytest.raises(TooManyJobs):
        await jobs.add(new(), most=3)
    with pytest.raises(BackupRunning):
        await jobs.add(new(JobKind.BACKUP), most=9)


async def test_jobs_without_a_space_are_seen_by_whoever_asked_for_them(core: Core) -> None:
    async def script(job: Job, report: Report) -> Ending:
        return Ending()

    async with working(core, script) as desk:
        await ended(desk, await desk.start(new(JobKind.BACKUP, space="")))
        await ended(desk, await desk.start(new()))
        mine, _ = await desk.list(ANNA, "", limit=10, before="")
        theirs, _ = await desk.list(BEN, "", limit=10, before="")
    assert {each.kind for each in mine} == {JobKind.BACKUP, JobKind.IMPORT}
    assert {each.kind for each in theirs} == {JobKind.IMPORT}


async def test_jobs_are_listed_page_by_page_the_newest_first(handbook: Served) -> None:
    ann = Transfers(handbook)
    made = [(await ann.done({f"{at}.md": "x\n"})).job_id for at in range(5)]
    stub, token, seen = await ann.jobs(), "", []
    while True:
        page = await stub.ListJobs(pb.ListJobsRequest(space="handbook", page_size=2, page_token=token))
        seen += [each.job_id for each in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]


async def test_a_call_may_wait_for_the_end(handbook: Served) -> None:
    job = await Transfers(handbook).begin(zipped({"a.md": "a\n"}), wait={"seconds": 20})
    assert job.state == job_pb2.JOB_STATE_DONE
    error = await refused(Transfers(handbook).begin(zipped({"a.md": "a\n"}), wait={"seconds": 61}))
    assert "60" in error.message


async def test_only_whoever_asked_or_an_owner_cancels(handbook: Served) -> None:
    job = await Transfers(handbook).done({"a.md": "a\n"})
    error = await refused((await Transfers(handbook, "bob").jobs()).CancelJob(pb.CancelJobRequest(job_id=job.job_id)))
    assert error.reason == "PERMISSION_DENIED"
    kept = (await (await Transfers(handbook).jobs()).CancelJob(pb.CancelJobRequest(job_id=job.job_id))).job
    assert kept.state == job_pb2.JOB_STATE_DONE
