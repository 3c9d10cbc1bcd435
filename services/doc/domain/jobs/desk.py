"""The use cases around jobs: started, looked up, followed, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta

from automesh.core.errors import PermissionDenied
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.errors import SpaceNotFound
from services.doc.domain.jobs.errors import TooManyWatchers, job_not_found
from services.doc.domain.jobs.job import Job, NewJob
from services.doc.domain.jobs.ports import Hints, JobStore
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MemberRole

MAX_OPEN = 50
"""Jobs of a tenant that have not ended."""
MAX_WATCHERS = 500
POLL_S = 1.0
PAGE, LOOKS = 200, 20
"""A list looks at so many jobs at once, and so often at most: most of them may be others'."""


class JobDesk:
    """A job of a space is seen by all who find the space; one of several spaces by whoever asked for it, and admins."""

    def __init__(
        self, jobs: JobStore, directory: SpaceDirectory, hints: Hints, doorbell: Doorbell, *, poll_s: float = POLL_S
    ) -> None:
        self._jobs, self._directory, self._hints, self._doorbell = jobs, directory, hints, doorbell
        self._poll_s = poll_s
        self._watchers = 0

    async def start(self, job: NewJob) -> Job:
        """Raises TooManyJobs, BackupRunning."""
        made = await self._jobs.add(job, most=MAX_OPEN)
        self._doorbell.ring()
        return made

    async def get(self, person: Person, job_id: str) -> Job:
        """Raises JobNotFound."""
        job = await self._jobs.get(person.tenant_id, job_id)
        if not await self._may_see(person, job):
            raise job_not_found(job_id)
        return job

    async def list(self, person: Person, space: str, *, limit: int, before: str) -> tuple[Sequence[Job], str]:
        """Some of those that the person sees, the newest first; where to go on, empty at the end."""
        if space:
            await self._directory.find(person, space)
        visible = frozenset(await self._directory.visible(person))
        found: list[Job] = []
        for _ in range(LOOKS):
            page = await self._jobs.list(person.tenant_id, space=space, limit=PAGE, before=before)
            for job in page:
                before = job.job_id
                if job.space in visible or _own(person, job):
                    found.append(job)
                    if len(found) == limit:
                        return found, before
            if len(page) < PAGE:
                return found, ""
        return found, before

    async def cancel(self, person: Person, job_id: str) -> Job:
        """By whoever asked for it, an owner of its space, an admin."""
        job = await self.get(person, job_id)
        if not _own(person, job):
            if not job.space:
                raise PermissionDenied("only whoever asked for a job, or an admin, cancels it", jobId=job_id)
            await self._directory.find(person, job.space, MemberRole.OWNER)
        cancelled = await self._jobs.cancel(person.tenant_id, job_id)
        await self._hints.changed(job_id)
        return cancelled

    async def watch(self, person: Person, job_id: str) -> AsyncGenerator[Job]:
        """How it stands, then every change, until it ends. Raises JobNotFound, TooManyWatchers."""
        job = await self.get(person, job_id)
        if self._watchers >= MAX_WATCHERS:
            raise TooManyWatchers(f"this replica serves {MAX_WATCHERS} watch streams already: poll with GetJob")
        self._watchers += 1
        try:
            async with self._hints.watching(job_id) as hints:
                yield job
                while not job.ended:
                    seen, job = job, await self._jobs.get(person.tenant_id, job_id)
                    if job.edition != seen.edition:
                        yield job
                    elif not job.ended:
                        await hints.next(self._poll_s)
        finally:
            self._watchers -= 1

    async def wait(self, job: Job, wait: timedelta) -> Job:
        """How it stands when it has ended, or when the time is up."""
        if wait <= timedelta(0):
            return job
        loop = asyncio.get_running_loop()
        until = loop.time() + wait.total_seconds()
        async with self._hints.watching(job.job_id) as hints:
            while True:
                job = await self._jobs.get(job.tenant_id, job.job_id)
                left = until - loop.time()
                if job.ended or left <= 0:
                    return job
                await hints.next(min(left, self._poll_s))

    async def _may_see(self, person: Person, job: Job) -> bool:
        if _own(person, job) or not job.space:
            return _own(person, job)
        try:
            await self._directory.find(person, job.space)
        except SpaceNotFound:
            return False
        return True


def _own(person: Person, job: Job) -> bool:
    return person.admin or person.user == job.created_by
