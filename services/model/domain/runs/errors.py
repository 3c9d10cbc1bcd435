"""What can go wrong with runs, claims, checkpoints and sweeps.

ModelError
|-- RunNotFound, SweepNotFound, FileNotInRun
|-- RunStillLive, RunNotLive, RunNotResumable, SweepOver
|-- RunTokenStale, TaskNotOfRun
|-- CheckpointIncomplete, CheckpointDamaged, ResultIncomplete
|-- DatasetNotReady, NoGpu, GpuElsewhere
|-- TooManyRuns, RunRequestReused
`-- ModelFileTooLarge
ValidationError > DataDoesNotFit
Exhausted > TooManyWatchers
Unavailable > ReplicaStopping
"""

from __future__ import annotations

from datetime import timedelta

from automesh.core.errors import Exhausted, Kind, ModelError, Unavailable, ValidationError

QUEUE_RETRY_AFTER = timedelta(seconds=30)
GPU_RETRY_AFTER = timedelta(seconds=10)


class RunNotFound(ModelError):
    """No such run, or one of another tenant: the two look alike on purpose."""

    kind = Kind.NOT_FOUND
    reason = "RUN_NOT_FOUND"


class SweepNotFound(ModelError):
    """No such sweep, or one of another tenant."""

    kind = Kind.NOT_FOUND
    reason = "SWEEP_NOT_FOUND"


class FileNotInRun(ModelError):
    """The run has no such file."""

    kind = Kind.NOT_FOUND
    reason = "RUN_FILE_NOT_FOUND"


class RunNotLive(ModelError):
    """The run has ended: nothing more can be said about it."""

    reason = "RUN_NOT_LIVE"


class RunNotResumable(ModelError):
    """Only a run that failed or was cancelled can go on."""

    reason = "RUN_NOT_RESUMABLE"


class RunTokenStale(ModelError):
    """A later claim has the run, or nobody may write to it any more: nothing said under this token counts."""

    kind = Kind.ABORTED
    reason = "RUN_TOKEN_STALE"


class TaskNotOfRun(ModelError):
    """The leased task does not carry the run, or does no longer."""

    reason = "TASK_NOT_OF_RUN"


class CheckpointIncomplete(ModelError):
    """Files of the checkpoint are missing, or are not what was said of them."""

    reason = "CHECKPOINT_INCOMPLETE"


class CheckpointDamaged(ModelError):
    """A stored checkpoint cannot be read again: the claim after this one gets the one before."""

    kind = Kind.ABORTED
    reason = "CHECKPOINT_DAMAGED"


class ResultIncomplete(ModelError):
    """The result names files that were not stored."""

    reason = "RESULT_INCOMPLETE"


class DatasetNotReady(ModelError):
    """The version of the dataset cannot be read (yet)."""

    reason = "DATASET_NOT_READY"


class NoGpu(ModelError):
    """A GPU is asked for and there is none."""

    reason = "NO_GPU"


class GpuElsewhere(ModelError):
    """A GPU is asked for; this agent has none, another one may have."""

    kind = Kind.ABORTED
    reason = "GPU_ELSEWHERE"


class TooManyRuns(ModelError):
    """The tenant has as many runs as may wait or train at once."""

    kind = Kind.EXHAUSTED
    reason = "TOO_MANY_RUNS"


class RunRequestReused(ModelError):
    """The request_id stands for another training or sweep already."""

    kind = Kind.CONFLICT
    reason = "REQUEST_ID_REUSED"


class ModelFileTooLarge(ValidationError):
    """The file is larger than this installation allows."""

    reason = "MODEL_FILE_TOO_LARGE"


class DataDoesNotFit(ValidationError):
    """The spec and the dataset do not go together; the message says both sides."""

    reason = "DATA_DOES_NOT_FIT"


class TooManyWatchers(Exhausted):
    """This replica serves as many watch streams as it may."""

    reason = "TOO_MANY_WATCHERS"


class ReplicaStopping(Unavailable):
    """This replica goes away: call again, another one will answer."""

    reason = "REPLICA_STOPPING"


def run_not_found(run_id: str) -> RunNotFound:
    """The error for a run that is not there, or not the caller's."""
    return RunNotFound(f"there is no run {run_id!r}", runId=run_id)


def sweep_not_found(sweep_id: str) -> SweepNotFound:
    """The error for a sweep that is not there, or not the caller's."""
    return SweepNotFound(f"there is no sweep {sweep_id!r}", sweepId=sweep_id)


def token_stale(run_id: str = "") -> RunTokenStale:
    """The error for a run token of an earlier claim; `run_id` where it is known."""
    of_run = f" of {run_id}" if run_id else ""
    return RunTokenStale(f"this run token{of_run} is stale: somebody else holds the run, or it has ended", runId=run_id)


def request_reused(request_id: str) -> RunRequestReused:
    """The error for a request_id that came with other content before."""
    return RunRequestReused(
        f"request_id {request_id!r} was used for something else: use a new one", requestId=request_id
    )


def too_many_runs(live: int, limit: int) -> TooManyRuns:
    """The error for a tenant with `live` runs."""
    return TooManyRuns(
        f"{live} runs wait or train already, and no more than {limit} may: come back when some are done",
        retry_after=QUEUE_RETRY_AFTER,
        limit=limit,
    )
