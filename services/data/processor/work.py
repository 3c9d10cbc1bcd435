"""Reads the job, does it, says what came of it. Runs in a child of the program, which may die of what it reads."""

from __future__ import annotations

import shutil
from pathlib import Path

from automesh.core.errors import AutomationError, Kind
from services.data.processor.events import failed
from services.data.processor.job import ConvertJob, Job, read_job


def work(folder: Path) -> None:
    """Ends with a line `done` or `failed`, unless it dies."""
    scratch = folder / "scratch"
    try:
        _do(read_job(folder), folder, scratch)
    except AutomationError as error:
        failed(error.reason, error.message, retryable=error.kind is Kind.UNAVAILABLE)
    except MemoryError:
        failed("DATA_TOO_LARGE", "the rows need more memory than the job may have: send less at once")
    except OSError as error:
        failed("SCRATCH_FAILED", f"a file cannot be written or read: {error.strerror or error}", retryable=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _do(job: Job, folder: Path, scratch: Path) -> None:
    # Polars and numpy are imported here: the parent stays small, and forks before there are threads.
    from services.data.processor.ingest.scratch import Scratch  # noqa: PLC0415 - see above

    if isinstance(job, ConvertJob):
        from services.data.processor.export import convert  # noqa: PLC0415 - see above

        convert(job, folder)
        return
    from services.data.processor.process import process  # noqa: PLC0415 - see above

    process(job, folder, Scratch(scratch, job.limits.memory))
