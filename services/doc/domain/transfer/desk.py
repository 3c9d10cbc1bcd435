"""The use cases around imports and exports: begun here, done by jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from automesh.core.clock import Clock
from automesh.core.errors import ValidationError
from services.doc.domain.branches.ports import BranchStore
from services.doc.domain.jobs.desk import JobDesk
from services.doc.domain.jobs.errors import TooManyJobs
from services.doc.domain.jobs.job import Job, JobKind, JobState, NewJob
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MAIN, MemberRole
from services.doc.domain.transfer.admission import check_open
from services.doc.domain.transfer.asked import ExportAsked, ImportAsked
from services.doc.domain.transfer.errors import ExportExpired, ExportNotReady, archive_too_large
from services.doc.domain.transfer.ports import Blobs, Lease, Ledger, Tasks

DOCUMENTATION = "documentation"
"""The type of tasks whose agents may store documentation."""
UPLOAD_FOR = timedelta(days=2)


class TransferDesk:
    """Documents in and out. `max_bytes` bounds what is uploaded."""

    def __init__(
        self,
        jobs: JobDesk,
        *,
        directory: SpaceDirectory,
        branches: BranchStore,
        blobs: Blobs,
        ledger: Ledger,
        tasks: Tasks,
        make_id: Callable[[str], str],
        clock: Clock,
        max_bytes: int,
    ) -> None:
        self._jobs, self._directory, self._branches, self._tasks = jobs, directory, branches, tasks
        self._blobs, self._ledger = blobs, ledger
        self._make_id, self._clock, self._max_bytes = make_id, clock, max_bytes

    async def import_archive(self, person: Person, space: str, asked: ImportAsked, chunks: AsyncIterator[bytes]) -> Job:
        """Takes the file in, for somebody who may write there; its job reads it.

        Raises SpaceNotFound, PermissionDenied, BranchNotFound, BranchProtected, ArchiveTooLarge, TooManyJobs.
        """
        found = await self._directory.find(person, space, MemberRole.WRITER)
        check_open(found, asked.branch)
        await self._branches.get(person.tenant_id, space, asked.branch)
        job_id = self._make_id("job")
        asked = replace(asked, blob=f"doc/imports/{job_id}")
        await self._ledger.reserve(asked.blob, UPLOAD_FOR)
        await self._blobs.put(asked.blob, self._bounded(chunks))
        try:
            return await self._start(person, JobKind.IMPORT, job_id, space, asked)
        except TooManyJobs:
            await self._ledger.reserve(asked.blob, timedelta(0))
            raise

    async def export_archive(self, person: Person, space: str, asked: ExportAsked) -> Job:
        """Raises SpaceNotFound, BranchNotFound, TooManyJobs."""
        await self._directory.find(person, space)
        await self._branches.get(person.tenant_id, space, asked.branch)
        job_id = self._make_id("job")
        return await self._start(person, JobKind.EXPORT, job_id, space, replace(asked, blob=f"doc/exports/{job_id}"))

    async def download(self, person: Person, job_id: str) -> tuple[str, AsyncIterator[bytes]]:
        """Format and bytes of an export, for somebody who finds its space. Raises ExportNotReady, ExportExpired."""
        job = await self._jobs.get(person, job_id)
        if job.kind is not JobKind.EXPORT:
            raise ExportNotReady(f"{job_id} is no export", jobId=job_id)
        await self._directory.find(person, job.space)
        if job.state is not JobState.DONE:
            raise ExportNotReady(f"the export {job_id} is {job.state}: wait for its end", jobId=job_id)
        if job.expires_at is None or job.expires_at <= self._clock():
            raise ExportExpired(f"the file of {job_id} is gone: export again", jobId=job_id)
        asked = ExportAsked.of_json(job.asked)
        return asked.format, self._blobs.get(asked.blob)

    async def lease(self, token: bytes) -> Lease:
        """The task of an agent that stores documentation. Raises ABORTED when the lease is lost."""
        lease = await self._tasks.lease(token)
        if lease.task_type != DOCUMENTATION:
            raise ValidationError(
                f"the task {lease.task_id} is of type {lease.task_type!r}: only those of type {DOCUMENTATION!r} store "
                "documentation",
                field="lease_token",
            )
        return lease

    async def store(self, token: bytes, lease: Lease, archive: AsyncIterator[bytes]) -> Job:
        """What an agent wrote, packed as an archive, comes in as if its task's creator had imported it."""
        person = Person(tenant_id=lease.tenant_id, user=lease.created_by)
        space, asked = documentation_input(lease.input, lease.task_id)
        await self._directory.find(person, space, MemberRole.WRITER)  # a task makes no spaces: that is for admins

        async def chunks() -> AsyncIterator[bytes]:
            async for chunk in archive:
                yield chunk
            await self._tasks.lease(token)  # an upload takes its time: the lease must still be the agent's at its end

        return await self.import_archive(person, space, asked, chunks())

    async def _start(
        self, person: Person, kind: JobKind, job_id: str, space: str, asked: ImportAsked | ExportAsked
    ) -> Job:
        return await self._jobs.start(
            NewJob(
                job_id=job_id,
                tenant_id=person.tenant_id,
                kind=kind,
                space=space,
                asked=asked.to_json(),
                created_by=person.user,
                admin=person.admin,
            )
        )

    async def _bounded(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > self._max_bytes:
                raise archive_too_large(self._max_bytes)
            yield chunk
        if not size:
            raise ValidationError("no byte of an archive has come: send a zip, tar or git bundle", field="content")


def documentation_input(given: Mapping[str, Any], task_id: str) -> tuple[str, ImportAsked]:
    """Space and folder of a task of type "documentation": {"space", "branch", "prefix", "delete_missing", "message"}.

    Other keys are the agent's own. Raises ValidationError.
    """
    space = given.get("space")
    if not isinstance(space, str) or not space:
        raise ValidationError(
            'the input of the task names no space: {"space": "handbook", "prefix": "api"}', field="input"
        )
    texts = {name: given.get(name, "") for name in ("branch", "prefix", "message")}
    wrong = next((name for name, value in texts.items() if not isinstance(value, str)), "")
    deleting = given.get("delete_missing", False)
    if wrong or not isinstance(deleting, bool):
        raise ValidationError(f"{wrong or 'delete_missing'} of the task's input is of the wrong type", field="input")
    return space, ImportAsked.checked(
        branch=texts["branch"] or MAIN,
        prefix=texts["prefix"],
        message=texts["message"] or f"written under the task {task_id}",
        delete_missing=deleting,
    )
