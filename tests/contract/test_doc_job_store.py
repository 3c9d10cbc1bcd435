"""One suite for stores of jobs: the fake, and the real one on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from services.doc.domain.jobs.errors import BackupRunning, JobCancelled, JobLost, JobNotFound, TooManyJobs
from services.doc.domain.jobs.job import Ending, JobKind, JobState, NewJob, Problem, Sight, Tally
from services.doc.domain.jobs.ports import JobStore
from services.doc.fakes.jobs import FakeJobStore
from services.doc.store.jobs import SqlJobStore
from tests.contract.doc_stores import TENANT, doc_database

SIGHT = Sight(
    done=2, total=3, step="half of it", tally=Tally(created=1, refused=1), problems=[Problem("a.md", "wrong")],
    place={"after": 7},
)  # fmt: skip


@pytest.fixture(params=["fake", pytest.param("postgres", marks=pytest.mark.postgres)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[JobStore]:
    if request.param == "fake":
        yield FakeJobStore(lambda: datetime.now(UTC))
        return
    async with doc_database(request.getfixturevalue("postgres")) as database:
        yield SqlJobStore(database)


def new(number: int, kind: JobKind = JobKind.IMPORT, *, tenant_id: str = TENANT, space: str = "guides") -> NewJob:
    return NewJob(
        job_id=f"job_{number}", tenant_id=tenant_id, kind=kind, space=space, asked={"a": [number]}, created_by="ann"
    )


async def test_a_job_is_kept_as_it_was_asked_for(store: JobStore) -> None:
    made = await store.add(new(1), most=9)
    assert (made.state, made.asked, made.created_by, made.ended) == (JobState.QUEUED, {"a": [1]}, "ann", False)
    assert await store.get(TENANT, "job_1") == made
    with pytest.raises(JobNotFound):
        await store.get("other", "job_1")


async def test_the_oldest_is_taken_and_each_by_one_worker(store: JobStore) -> None:
    for number in (1, 2):
        await store.add(new(number), most=9)
    taken = [await store.take(60) for _ in range(3)]
    assert [each.job_id if each else None for each in taken] == ["job_1", "job_2", None]
    assert [(each.state, each.attempt) for each in taken if each] == [(JobState.RUNNING, 1)] * 2


async def test_what_a_worker_tells_is_there_for_the_next_and_shuts_the_one_before_out(store: JobStore) -> None:
    await store.add(new(1), most=9)
    await store.take(60)
    await store.tell("job_1", 1, SIGHT, -1)
    again = await store.take(60)
    assert again is not None
    assert (again.attempt, again.place, again.done, again.tally) == (2, {"after": 7}, 2, SIGHT.tally)
    assert list(again.problems) == list(SIGHT.problems)
    with pytest.raises(JobLost):
        await store.tell("job_1", 1, SIGHT, 60)
    with pytest.raises(JobLost):
        await store.renew("job_1", 1, 60)
    with pytest.raises(JobLost):
        await store.end("job_1", 1, SIGHT, Ending())
    await store.give_back("job_1", 1, -1)
    assert await store.take(60) is None


async def test_a_job_that_is_given_back_is_taken_again(store: JobStore) -> None:
    await store.add(new(1), most=9)
    await store.take(60)
    await store.give_back("job_1", 1, -1)
    again = await store.take(60)
    assert again is not None
    assert again.attempt == 2


async def test_an_end_is_an_end(store: JobStore) -> None:
    await store.add(new(1), most=9)
    await store.take(60)
    await store.end("job_1", 1, SIGHT, Ending(backup_id="backup_1", keep_for_s=60))
    job = await store.get(TENANT, "job_1")
    assert (job.state, job.backup_id, job.done, job.place) == (JobState.DONE, "backup_1", 2, {})
    assert job.ended_at is not None
    assert job.expires_at is not None
    assert (job.expires_at - job.ended_at).total_seconds() == pytest.approx(60)
    assert await store.cancel(TENANT, "job_1") == job
    assert await store.take(60) is None


async def test_cancelling_ends_what_waits_and_tells_what_runs(store: JobStore) -> None:
    for number in (1, 2):
        await store.add(new(number), most=9)
    await store.take(60)
    assert (await store.cancel(TENANT, "job_2")).state is JobState.CANCELLED
    told = await store.cancel(TENANT, "job_1")
    assert told.state is JobState.RUNNING
    with pytest.raises(JobCancelled):
        await store.renew("job_1", 1, 60)
    with pytest.raises(JobCancelled):
        await store.tell("job_1", 1, SIGHT, 60)
    await store.end("job_1", 1, SIGHT, Ending(state=JobState.CANCELLED))
    assert (await store.get(TENANT, "job_1")).state is JobState.CANCELLED


async def test_every_change_counts(store: JobStore) -> None:
    editions = [(await store.add(new(1), most=9)).edition]
    await store.take(60)
    editions.append((await store.get(TENANT, "job_1")).edition)
    await store.tell("job_1", 1, SIGHT, 60)
    editions.append((await store.get(TENANT, "job_1")).edition)
    await store.end("job_1", 1, SIGHT, Ending())
    editions.append((await store.get(TENANT, "job_1")).edition)
    assert editions == sorted(set(editions))


async def test_jobs_are_bounded_and_backups_come_one_by_one(store: JobStore) -> None:
    await store.add(new(1, JobKind.BACKUP), most=2)
    with pytest.raises(BackupRunning):
        await store.add(new(2, JobKind.BACKUP), most=2)
    await store.add(new(3, JobKind.BACKUP, tenant_id="other"), most=2)
    await store.add(new(4), most=2)
    with pytest.raises(TooManyJobs):
        await store.add(new(5), most=2)
    await store.cancel(TENANT, "job_1")
    await store.add(new(6, JobKind.BACKUP), most=2)


async def test_jobs_are_listed_the_newest_first_without_problems(store: JobStore) -> None:
    for number in range(5):
        await store.add(new(number, space="guides" if number % 2 else "other"), most=9)
    await store.add(new(9, tenant_id="elsewhere"), most=9)
    page = await store.list(TENANT, space="", limit=3, before="")
    assert [each.job_id for each in page] == ["job_4", "job_3", "job_2"]
    rest = await store.list(TENANT, space="", limit=3, before="job_2")
    assert [each.job_id for each in rest] == ["job_1", "job_0"]
    assert [each.job_id for each in await store.list(TENANT, space="guides", limit=9, before="")] == ["job_3", "job_1"]
    assert not page[0].problems


async def test_old_jobs_go_and_open_ones_stay(store: JobStore) -> None:
    for number in (1, 2):
        await store.add(new(number), most=9)
    await store.take(60)
    await store.end("job_1", 1, SIGHT, Ending())
    assert await store.prune(1) == 0
    assert await store.prune(-1) == 1
    with pytest.raises(JobNotFound):
        await store.get(TENANT, "job_1")
    assert (await store.get(TENANT, "job_2")).state is JobState.QUEUED
