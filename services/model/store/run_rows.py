"""Rows of `run`, `metric_point` and `sweep`, and what they stand for, both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from automesh.storage.postgres import Record
from services.model.convert.spec import training_spec_json, training_spec_of_json
from services.model.domain.runs.progress import MetricPoint
from services.model.domain.runs.run import Run, RunFailure, RunState
from services.model.domain.sweeps.sweep import Sweep, SweepMethod, Trial
from services.model.domain.training.spec import TrainingSpec
from services.model.store import run_detail


def spec_out(spec: TrainingSpec) -> str:
    """The spec as JSON text."""
    return orjson.dumps(training_spec_json(spec)).decode()


@lru_cache(maxsize=512)
def spec_in(text: str) -> TrainingSpec:
    """The spec of a JSON text; runs are read far more often than their specs change."""
    return training_spec_of_json(orjson.loads(text))


def run(row: Record) -> Run:
    """The run of a whole row."""
    reason = row["failure_reason"]
    return Run(
        run_id=row["run_id"],
        tenant_id=row["tenant_id"],
        model_id=row["model_id"],
        spec=spec_in(row["spec"]),
        created_by=row["created_by"],
        created_at=row["created_at"],
        state=RunState(row["state"]),
        submission=row["submission"],
        waits_for_gpu=row["waits_for_gpu"],
        claims=row["claims"],
        last_batch=row["last_batch"],
        last_sequence=row["last_sequence"],
        model_version=row["model_version"],
        failure=RunFailure(reason, row["failure_message"]) if reason is not None else None,
        cancel_reason=row["cancel_reason"],
        sweep_id=row["sweep_id"],
        settled=row["settled"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        heard_at=row["heard_at"],
        revision=row["revision"],
        **run_detail.read(row["detail"]),
    )


def changed(run: Run) -> tuple[object, ...]:
    """What may change of a run, in the order of the statements that write it, after its id."""
    failure = run.failure
    return (
        run.run_id,
        spec_out(run.spec),
        run.state,
        run.submission,
        run.waits_for_gpu,
        run.claims,
        run.last_batch,
        run.last_sequence,
        run.model_version,
        failure.reason if failure else None,
        failure.message if failure else None,
        run.cancel_reason,
        run_detail.write(run),
        run.settled,
        run.started_at,
        run.finished_at,
        run.heard_at,
        run.revision,
    )


def keys(run: Run) -> set[str]:
    """By what the run is found, besides its id."""
    found = {task_key(each.task_id) for each in run.tasks if each.task_id}
    return found | {token_key(each.token) for each in run.tasks if each.token}


def task_key(task_id: str) -> str:
    """The key of a task."""
    return f"task:{task_id}"


def token_key(token: str) -> str:
    """The key of a run token's SHA-256."""
    return f"token:{token}"


def blobs(run: Run) -> set[str]:
    """All blobs that the run names."""
    files = [*run.files.values(), *(file for each in run.checkpoints for file in each.files)]
    return {each.blob for each in files}


def point(row: Record) -> MetricPoint:
    """The point of a row."""
    return MetricPoint(row["name"], row["value"], row["step"], row["epoch"], row["measured_at"], row["sequence"])


def columns(points: Sequence[MetricPoint]) -> tuple[list[Any], ...]:
    """Points as columns: sequence, name, value, step, epoch, time."""
    return (
        [each.sequence for each in points],
        [each.name for each in points],
        [each.value for each in points],
        [each.step for each in points],
        [each.epoch for each in points],
        [each.time for each in points],
    )


def sweep(row: Record) -> Sweep:
    """The sweep of a whole row."""
    return Sweep(
        sweep_id=row["sweep_id"],
        tenant_id=row["tenant_id"],
        model_id=row["model_id"],
        spec=spec_in(row["spec"]),
        method=SweepMethod(row["method"]),
        trials=tuple(_trial(each) for each in orjson.loads(row["trials"])),
        max_parallel=row["max_parallel"],
        metric=row["metric"],
        higher_is_better=row["higher_is_better"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        state=RunState(row["state"]),
        finished_at=row["finished_at"],
    )


def new_sweep(sweep: Sweep) -> tuple[object, ...]:
    """What a sweep begins with, in the order of the statement that writes it."""
    return (
        sweep.sweep_id,
        sweep.tenant_id,
        sweep.model_id,
        spec_out(sweep.spec),
        sweep.method,
        trials(sweep),
        sweep.max_parallel,
        sweep.metric,
        sweep.higher_is_better,
        sweep.created_by,
    )


def trials(sweep: Sweep) -> str:
    """The trials as JSON text."""
    return orjson.dumps(
        [
            {
                "number": each.number,
                "parameters": dict(each.parameters),
                "round": each.round,
                "epochs": each.epochs,
                "origin": each.origin,
                "run_id": each.run_id,
                "state": each.state,
                "value": run_detail.number(each.value),
            }
            for each in sweep.trials
        ]
    ).decode()


def _trial(told: Mapping[str, Any]) -> Trial:
    return Trial(**{**told, "state": RunState(told["state"]), "value": float(told["value"])})
