"""The part of a run that is one JSON object in its row, both ways. NaN and infinities are texts there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from services.model.domain.runs.checkpoint import Checkpoint, StoredFile
from services.model.domain.runs.progress import BestMetric, Latest, Pace, RunProgress
from services.model.domain.runs.run import Run, RunTask


def write(run: Run) -> str:
    """The JSON text."""
    return orjson.dumps(
        {
            "tasks": [[each.node, each.task_id, each.claims, each.token, each.over] for each in run.tasks],
            "on_gpu": run.on_gpu,
            "host_node": run.host_node,
            "endpoint": run.endpoint,
            "claimed_checkpoint": run.claimed_checkpoint,
            "progress": _progress_out(run.progress),
            "metrics": {name: [number(each.value), each.step] for name, each in run.metrics.items()},
            "replayed": dict(run.replayed),
            "pace": [run.pace.step, run.pace.at] if run.pace else None,
            "files": [_file_out(each) for each in run.files.values()],
            "checkpoints": [_checkpoint_out(each) for each in run.checkpoints],
            "environment": dict(run.environment),
            "origin": run.origin,
        }
    ).decode()


def read(text: str) -> dict[str, Any]:
    """The fields of a run, by name."""
    told = orjson.loads(text)
    files = [StoredFile(*each) for each in told["files"]]
    return {
        "tasks": tuple(
            RunTask(node=node, task_id=task_id, claims=claims, token=token, over=over)
            for node, task_id, claims, token, over in told["tasks"]
        ),
        "on_gpu": told["on_gpu"],
        "host_node": told["host_node"],
        "endpoint": told["endpoint"],
        "claimed_checkpoint": told["claimed_checkpoint"],
        "progress": _progress_in(told["progress"]),
        "metrics": {name: Latest(float(value), step) for name, (value, step) in told["metrics"].items()},
        "replayed": told["replayed"],
        "pace": Pace(told["pace"][0], datetime.fromisoformat(told["pace"][1])) if told["pace"] else None,
        "files": {each.name: each for each in files},
        "checkpoints": tuple(_checkpoint_in(each) for each in told["checkpoints"]),
        "environment": told["environment"],
        "origin": told["origin"],
    }


def number(value: float) -> float | str:
    """A JSON number, or the text of what is none: "nan", "inf", "-inf"."""
    return value if math.isfinite(value) else str(value)


def _file_out(file: StoredFile) -> list[Any]:
    return [file.name, file.blob, file.size, file.sha256]


def _checkpoint_out(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "folder": checkpoint.folder,
        "step": checkpoint.step,
        "files": [_file_out(each) for each in checkpoint.files],
        "best": checkpoint.best,
        "damaged": checkpoint.damaged,
    }


def _checkpoint_in(told: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(**{**told, "files": tuple(StoredFile(*each) for each in told["files"])})


def _progress_out(progress: RunProgress) -> dict[str, Any]:
    best = progress.best
    return {
        "epoch": progress.epoch,
        "epochs": progress.epochs,
        "step": progress.step,
        "steps": progress.steps,
        "eta_s": progress.eta.total_seconds() if progress.eta is not None else None,
        "samples_per_second": number(progress.samples_per_second),
        "gpu_memory": progress.gpu_memory,
        "best": [best.name, number(best.value), best.step, best.epoch] if best else None,
    }


def _progress_in(told: Mapping[str, Any]) -> RunProgress:
    best, eta_s = told["best"], told["eta_s"]
    return RunProgress(
        epoch=told["epoch"],
        epochs=told["epochs"],
        step=told["step"],
        steps=told["steps"],
        eta=timedelta(seconds=eta_s) if eta_s is not None else None,
        samples_per_second=float(told["samples_per_second"]),
        gpu_memory=told["gpu_memory"],
        best=BestMetric(best[0], float(best[1]), best[2], best[3]) if best else None,
    )
