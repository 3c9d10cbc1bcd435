"""What jobs need from outside. Every method may raise Unavailable while what stands behind it is away."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from services.doc.domain.jobs.job import Ending, Job, NewJob, Sight
from services.doc.domain.jobs.report import Report


class JobStore(Protocol):
    """Jobs with leases. Times come from the store's own clock; `attempt` fences a worker that lost its lease."""

    async def add(self, job: NewJob, *, most: int) -> Job:
        """Raises TooManyJobs when the tenant has `most` that have not ended, BackupRunning."""
        ...

    async def get(self, tenant_id: str, job_id: str) -> Job:
        """Raises JobNotFound."""
        ...

    async def list(self, tenant_id: str, *, space: str, limit: int, before: str) -> Sequence[Job]:
        """A page, the newest first, without problems; `before` is the last id of the page before."""
        ...

    async def cancel(self, tenant_id: str, job_id: str) -> Job:
        """One that waits has ended then; one that runs is told. One that has ended stays as it is.

        What a job that ended leaves of files (`blob` of what was asked) may go, but for the file of an export.
        """
        ...

    async def take(self, lease_s: float) -> Job | None:
        """The next of any tenant that waits, or whose worker is gone, for so long; None when there is none."""
        ...

    async def tell(self, job_id: str, attempt: int, sight: Sight, lease_s: float) -> None:
        """Keeps how far it is, and the lease. Raises JobLost, JobCancelled."""
        ...

    async def renew(self, job_id: str, attempt: int, lease_s: float) -> None:
        """Keeps the lease. Raises JobLost, JobCancelled."""
        ...

    async def give_back(self, job_id: str, attempt: int, after_s: float) -> None:
        """Another may go on after so many seconds."""
        ...

    async def end(self, job_id: str, attempt: int, sight: Sight, ending: Ending) -> None:
        """It has ended; what it leaves of files may go, as with `cancel`. Raises JobLost."""
        ...

    async def prune(self, keep_days: int) -> int:
        """Forgets jobs that ended long ago (a bounded number at once); how many."""
        ...


class Watching(Protocol):
    """A listener."""

    async def next(self, timeout_s: float) -> None:
        """Returns with the next hint, or when the time is up."""
        ...


class Hints(Protocol):
    """Tells whoever watches a job, on any replica, that it may have changed. Best effort."""

    async def changed(self, job_id: str) -> None:
        """It may be worth a look."""
        ...

    def watching(self, job_id: str) -> AbstractAsyncContextManager[Watching]:
        """Listens for as long as it is entered."""
        ...


class Work(Protocol):
    """Does jobs of one kind."""

    async def run(self, job: Job, report: Report) -> Ending:
        """Raises AutomationError with what to tell the one who asked; JobLost and JobCancelled pass through."""
        ...
