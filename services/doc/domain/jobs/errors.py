"""What can go wrong with jobs."""

from __future__ import annotations

from automesh.core.errors import Exhausted, Kind, NotFound
from services.doc.domain.errors import DocError


class JobNotFound(NotFound):
    """No such job, or one that the caller may not see."""

    reason = "JOB_NOT_FOUND"


class TooManyJobs(Exhausted):
    """The tenant has as many jobs waiting as it may."""

    reason = "TOO_MANY_JOBS"


class TooManyWatchers(Exhausted):
    """This replica serves as many streams as it may."""

    reason = "TOO_MANY_WATCHERS"


class BackupRunning(DocError):
    """One backup of a tenant is made at a time."""

    reason = "BACKUP_RUNNING"


class JobLost(DocError):
    """Another process has taken the job over: this one stops."""

    kind = Kind.ABORTED
    reason = "JOB_LOST"


class JobCancelled(DocError):
    """Somebody stopped it."""

    kind = Kind.CANCELLED
    reason = "JOB_CANCELLED"


class JobFailed(DocError):
    """The work cannot be done; the message says why and what to do."""

    reason = "JOB_FAILED"


def job_not_found(job_id: str) -> JobNotFound:
    """With what to do."""
    return JobNotFound(f"there is no job {job_id!r}: list the jobs to find one", jobId=job_id)
