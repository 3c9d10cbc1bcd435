"""Does jobs, some at once. What another process began and left is gone on with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

import structlog

from automesh.core.errors import AutomationError, Unavailable
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.jobs.errors import JobCancelled, JobLost
from services.doc.domain.jobs.job import Ending, Job, JobKind, JobState, Sight
from services.doc.domain.jobs.ports import Hints, JobStore, Work
from services.doc.domain.jobs.report import Report

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 8
TELL_EVERY_S, RENEW_EVERY_S, LEASE_S = 0.3, 2.0, 15.0
TRY_AGAIN_S = 3.0
"""After the first attempt that found the database or the blobs away, and twice as long after each further one."""


class JobLoop:
    """Takes jobs as long as fewer than `at_once` run; `step` returns when it is worth looking again."""

    def __init__(
        self,
        jobs: JobStore,
        works: Mapping[JobKind, Work],
        hints: Hints,
        doorbell: Doorbell,
        *,
        at_once: int,
        poll_s: float,
        lease_s: float = LEASE_S,
    ) -> None:
        self._jobs, self._works, self._hints, self._doorbell = jobs, works, hints, doorbell
        self._at_once, self._poll_s, self._lease_s = at_once, poll_s, lease_s
        self._running: set[asyncio.Task[None]] = set()

    async def step(self) -> None:
        """Takes what there is, then waits for a ring, for the end of a job, or for the next look."""
        rung = self._doorbell.rung
        while len(self._running) < self._at_once:
            job = await self._jobs.take(self._lease_s)
            if job is None:
                break
            task = asyncio.create_task(self._do(job), name=job.job_id)
            self._running.add(task)
        await self._rest(rung)

    async def close(self) -> None:
        """Stops what runs: another process goes on with it at once."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _rest(self, rung: int) -> None:
        ring = asyncio.create_task(self._doorbell.wait(rung, self._poll_s))
        waits: set[asyncio.Task[None]] = (
            {ring, *self._running} if len(self._running) < self._at_once else {*self._running}
        )
        try:
            done, _ = await asyncio.wait(waits, timeout=self._poll_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ring.cancel()
        self._running -= done

    async def _do(self, job: Job) -> None:
        log.info("job begins", job_id=job.job_id, kind=job.kind, attempt=job.attempt)
        report = Report(job, lambda sight: self._tell(job, sight), seconds=time.monotonic, pause_s=TELL_EVERY_S)
        try:
            ending = await self._ending(job, report)
        except (JobLost, Unavailable) as error:
            log.warning("job is left to another", job_id=job.job_id, error=error.message)
            await self._give_back(job, TRY_AGAIN_S * 2 ** (job.attempt - 1))
            return
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(job, 0))
            raise
        try:
            await self._jobs.end(job.job_id, job.attempt, report.sight(), ending)
        except (JobLost, Unavailable) as error:
            log.warning("the end of a job is left to another", job_id=job.job_id, error=error.message)
            return
        await self._hints.changed(job.job_id)
        self._doorbell.ring()
        log.info("job ended", job_id=job.job_id, kind=job.kind, state=ending.state, failure=ending.failure)

    async def _ending(self, job: Job, report: Report) -> Ending:
        """How the work ended. Raises JobLost, Unavailable."""
        if job.attempt > MAX_ATTEMPTS:
            return _failed(
                f"{MAX_ATTEMPTS} processes began it and none came to an end; the last was at {report.step!r}: "
                "make it smaller, or look at the log of the doc service"
            )
        try:
            return await self._while_leased(job, report)
        except JobCancelled:
            return Ending(state=JobState.CANCELLED)
        except JobLost:
            raise
        except Unavailable as error:
            if job.attempt < MAX_ATTEMPTS:
                raise
            return _failed(f"{error.message}, {MAX_ATTEMPTS} times: start it again when that is mended")
        except AutomationError as error:
            return _failed(error.message)
        except Exception:
            log.exception("job failed", job_id=job.job_id, kind=job.kind)
            return _failed(
                "an error of ours, which the log of the doc service tells more of: start it again, and report it if it "
                "comes back"
            )

    async def _while_leased(self, job: Job, report: Report) -> Ending:
        """Stops the work when the job is lost or cancelled."""
        work = asyncio.create_task(self._works[job.kind].run(job, report))
        lease = asyncio.create_task(self._keep(job))
        try:
            await asyncio.wait({work, lease}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                lease.result()  # raises: why there is no lease any more
            return await work
        finally:
            for task in (work, lease):
                task.cancel()
            await asyncio.gather(work, lease, return_exceptions=True)

    async def _keep(self, job: Job) -> None:
        """Renews the lease for ever. Raises JobLost, JobCancelled."""
        while True:
            await asyncio.sleep(min(RENEW_EVERY_S, self._lease_s / 4))
            with suppress(Unavailable):  # the database may come back before the lease is over
                await self._jobs.renew(job.job_id, job.attempt, self._lease_s)

    async def _tell(self, job: Job, sight: Sight) -> None:
        await self._jobs.tell(job.job_id, job.attempt, sight, self._lease_s)
        await self._hints.changed(job.job_id)

    async def _give_back(self, job: Job, after_s: float) -> None:
        with suppress(AutomationError):
            await self._jobs.give_back(job.job_id, job.attempt, after_s)


def _failed(failure: str) -> Ending:
    return Ending(state=JobState.FAILED, failure=failure)
