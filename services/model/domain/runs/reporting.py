"""What trainers say: points and progress as they come, and how the run ended."""

from __future__ import annotations

import math
import mimetypes
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from automesh.core.errors import AutomationError, ValidationError
from services.model.domain.registry.version import WEIGHTS, ModelFile, NewVersion
from services.model.domain.runs import checkpoint, progress
from services.model.domain.runs.claims import DAMAGED, digest
from services.model.domain.runs.dependents import add_dependent
from services.model.domain.runs.errors import ResultIncomplete, token_stale
from services.model.domain.runs.files import check_held, held_run
from services.model.domain.runs.ports import Datasets, ModelRegistry, RunStore, SpecJson, TaskQueue
from services.model.domain.runs.progress import MetricPoint, Pace, RunProgress
from services.model.domain.runs.run import MODEL_FOLDER, Run, RunFailure, RunState
from services.model.domain.runs.signals import RunSignals
from services.model.domain.runs.submission import Submission

MAX_FAILURE_MESSAGE = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a trainer reports at once; batches count up from 1 within a claim."""

    number: int
    points: Sequence[MetricPoint] = ()
    progress: RunProgress | None = None
    environment: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a trainer leaves behind. `signature` is the message Signature as JSON; `files` are names below "model/"."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    signature: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    files: tuple[str, ...] = ()


class Reporting:
    """Takes in what is said under a run token. Raises RunTokenStale for one that is good no more."""

    def __init__(
        self,
        store: RunStore,
        registry: ModelRegistry,
        datasets: Datasets,
        queue: TaskQueue,
        *,
        specs: SpecJson,
        signals: RunSignals,
    ) -> None:
        self._store = store
        self._registry = registry
        self._datasets = datasets
        self._submission = Submission(store, queue)
        self._specs = specs
        self._signals = signals

    async def report(self, token: bytes, batch: Batch, *, tenant_id: str) -> int:
        """Records a batch once; returns the number of the last point recorded of the run."""
        if batch.number < 1:
            raise ValidationError(f"batch {batch.number}: batches count up from 1", field="batch")
        if len(batch.points) > progress.MAX_BATCH:
            raise ValidationError(
                f"{len(batch.points)} points in one batch are more than {progress.MAX_BATCH}", field="points"
            )
        progress.check_points(batch.points)
        run = await held_run(self._store, token, tenant_id)
        after = await self._store.record(run.tenant_id, run.run_id, lambda run, now: _recorded(run, token, batch, now))
        self._signals.changed(run.run_id)
        return after.last_sequence

    async def complete(self, token: bytes, outcome: Outcome, *, tenant_id: str) -> Run:
        """Registers the version, then completes the run; said again it finds both done.

        The version comes first: after a crash between the two whoever looks next finds it, and completes the run.

        Raises ResultIncomplete, ModelNotFound.
        """
        run = await held_run(self._store, token, tenant_id)
        if run.state is RunState.COMPLETED or not _reports(run, token):
            return run
        _check_running(run)
        version = await self._registry.add_version(
            run.tenant_id,
            run.model_id,
            run.run_id,
            self._version(run, outcome),
            aliases=run.spec.aliases,
            holder=digest(token),
        )

        def completed(run: Run, now: datetime) -> Run:
            if run.state is RunState.COMPLETED:
                return run
            check_held(run, token)
            _check_running(run)
            return run.completed(version, outcome.metrics, now)

        after = await self._changed(run, completed)
        with suppress(AutomationError):  # else the loop that looks after ended runs says it
            await add_dependent(self._datasets, after)
        return after

    async def fail(self, token: bytes, failure: RunFailure, *, tenant_id: str) -> Run:
        """Gives the run up. One whose checkpoint was damaged goes back into the queue, to go on from the one before."""
        run = await held_run(self._store, token, tenant_id)
        if not _reports(run, token):
            return run
        told = replace(failure, message=failure.message[:MAX_FAILURE_MESSAGE].replace("\0", "\ufffd"))

        def failed(run: Run, now: datetime) -> Run:
            check_held(run, token)
            if told.reason == DAMAGED and run.claimed_checkpoint and run.state is RunState.RUNNING:
                bad = checkpoint.damaged(run.checkpoints, {run.claimed_checkpoint})
                return replace(run, checkpoints=bad).requeued(anew=True)
            return run.failed(told, now)

        after = await self._changed(run, failed)
        with suppress(AutomationError):  # else the loop that looks after queued runs does it
            after = await self._submission.submit(after)
        return after

    async def _changed(self, run: Run, change: Any) -> Run:
        _, after = await self._store.change(run.tenant_id, run.run_id, change)
        self._signals.changed(run.run_id)
        return after

    def _version(self, run: Run, outcome: Outcome) -> NewVersion:
        files = tuple(_model_file(run, name) for name in outcome.files)
        weights = next((each for each in files if each.name == WEIGHTS), None)
        if weights is None:
            raise ResultIncomplete(f"the result names no {MODEL_FOLDER}{WEIGHTS}", runId=run.run_id)
        return NewVersion(
            metrics=dict(outcome.metrics),
            signature=outcome.signature,
            size=weights.size,
            parameters=outcome.parameters,
            digest=weights.sha256,
            files=files,
            spec=self._specs.write(run.spec),
            card=outcome.card,
            data_id=run.spec.data.data_id,
            data_version=run.spec.data.version,
            created_by=run.created_by,
        )


def task_result(run: Run) -> dict[str, Any]:
    """The result of the task of a completed run: what was measured, not how. Numbers that JSON lacks are left out."""
    metrics = {name: each.value for name, each in run.metrics.items() if "/" in name and math.isfinite(each.value)}
    return {
        "model_id": run.model_id,
        "model_version": run.model_version,
        "run_id": run.run_id,
        "metrics": metrics,
    }


def _reports(run: Run, token: bytes) -> bool:
    """Whether the token is that of the node which reports for all."""
    holder = run.holder(digest(token))
    return holder is not None and run.is_host(holder)


def _check_running(run: Run) -> None:
    if run.state is not RunState.RUNNING:
        raise token_stale(run.run_id)


def _recorded(run: Run, token: bytes, batch: Batch, now: datetime) -> tuple[Run, Sequence[MetricPoint]]:
    check_held(run, token)
    _check_running(run)
    heard = replace(run, heard_at=now)
    if not _reports(run, token):
        return heard, ()
    if batch.number <= run.last_batch:
        return run, ()
    points = _numbered(run, batch.points)
    return _with_points(heard, batch, points, now), points


def _numbered(run: Run, points: Sequence[MetricPoint]) -> list[MetricPoint]:
    """Without what an earlier claim recorded: a training that goes on repeats the steps since its checkpoint."""
    fresh = (each for each in points if each.step > run.replayed.get(each.name, -1))
    return [replace(each, sequence=number) for number, each in enumerate(fresh, start=run.last_sequence + 1)]


def _with_points(run: Run, batch: Batch, points: Sequence[MetricPoint], now: datetime) -> Run:
    known = replace(run.progress, best=progress.best(run.watched_metric, run.progress.best, points))
    pace = run.pace
    if batch.progress is not None:
        pace = pace or Pace(batch.progress.step, now)
        known = progress.completed(batch.progress, known, pace, now)
    return replace(
        run,
        last_batch=batch.number,
        last_sequence=run.last_sequence + len(points),
        metrics=progress.latest(run.metrics, points),
        progress=known,
        pace=pace,
        environment=run.environment if batch.environment is None else batch.environment,
        revision=run.revision + 1,
    )


def _model_file(run: Run, name: str) -> ModelFile:
    file = run.files.get(name)
    if file is None or not name.startswith(MODEL_FOLDER):
        raise ResultIncomplete(
            f"the result names {name[:80]!r}, which was not stored below {MODEL_FOLDER}: store it, then finish",
            runId=run.run_id,
            name=name[:80],
        )
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return ModelFile(
        name=name.removeprefix(MODEL_FOLDER),
        content_type=content_type,
        size=file.size,
        sha256=file.sha256,
        blob=file.blob,
    )
