"""What a run is and how it may change. Pure: no I/O, no clock, no protobuf.

QUEUED <-> RUNNING -> COMPLETED; QUEUED, RUNNING -> FAILED, CANCELLED; FAILED, CANCELLED -> QUEUED (resumed)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.model.domain.registry.version import ModelVersion
from services.model.domain.runs.checkpoint import Checkpoint, StoredFile
from services.model.domain.runs.errors import RunNotLive, RunNotResumable, TaskNotOfRun
from services.model.domain.runs.progress import Latest, Pace, RunProgress
from services.model.domain.training.spec import TrainingSpec

MAX_ENVIRONMENT = 256 * 1024
MODEL_FOLDER = "model/"


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


LIVE = frozenset({RunState.QUEUED, RunState.RUNNING})
ENDED = frozenset(RunState) - LIVE
RESUMABLE = frozenset({RunState.FAILED, RunState.CANCELLED})


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why a run was given up."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTask:
    """The task of one node. `token` is the SHA-256 (hex) of the run token that is good now; empty: none."""

    node: int
    task_id: str = ""
    claims: int = 0
    token: str = ""
    over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training. `origin` is the run whose checkpoint it begins from, when it has none of its own."""

    run_id: str
    tenant_id: str
    model_id: str
    spec: TrainingSpec
    created_by: str
    created_at: datetime
    state: RunState = RunState.QUEUED
    submission: int = 1
    waits_for_gpu: bool = False
    on_gpu: bool = False
    tasks: tuple[RunTask, ...] = ()
    claims: int = 0
    host_node: int = -1
    endpoint: str = ""
    claimed_checkpoint: str = ""
    last_batch: int = 0
    last_sequence: int = 0
    progress: RunProgress = field(default_factory=RunProgress)
    metrics: Mapping[str, Latest] = field(default_factory=dict)
    replayed: Mapping[str, int] = field(default_factory=dict)
    pace: Pace | None = None
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    checkpoints: tuple[Checkpoint, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    model_version: int = 0
    failure: RunFailure | None = None
    cancel_reason: str = ""
    sweep_id: str = ""
    origin: str = ""
    settled: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    heard_at: datetime | None = None
    revision: int = 0

    # ------------------------------------------------------------------ what it is
    @property
    def task_id(self) -> str:
        """The task that carries it out now, or did last; empty while there is none."""
        return self.tasks[0].task_id if self.tasks else ""

    @property
    def checkpoint_step(self) -> int:
        """The step of the last checkpoint that is safe; -1 without one."""
        return max((each.step for each in self.checkpoints if not each.damaged), default=-1)

    @property
    def watched_metric(self) -> str:
        """The metric whose best value counts."""
        early = self.spec.optimization.early_stopping
        return early.metric if early else "val/loss"

    def task(self, task_id: str) -> RunTask:
        """The node of a task. Raises TaskNotOfRun."""
        for each in self.tasks:
            if each.task_id == task_id and task_id:
                return each
        raise TaskNotOfRun(f"task {task_id} does not carry run {self.run_id}", runId=self.run_id, taskId=task_id)

    def is_carried_by(self, task_id: str) -> bool:
        """Whether one of its nodes has that task."""
        return any(each.task_id == task_id for each in self.tasks)

    def holder(self, token: str) -> RunTask | None:
        """The node whose run token hashes to `token`."""
        return next((each for each in self.tasks if each.token == token and token), None)

    def is_host(self, task: RunTask) -> bool:
        """Whether that node reports for all."""
        return task.node == self.host_node

    # ------------------------------------------------------------------ tasks
    def expecting(self, nodes: int) -> Run:
        """With a place for the task of each node; earlier tasks are of the past."""
        return replace(self, tasks=tuple(RunTask(node=node) for node in range(nodes)))

    def carried_by(self, node: int, task_id: str) -> Run:
        """The node's task is known. Raises TaskNotOfRun when another one has its place."""
        place = next((each for each in self.tasks if each.node == node), None)
        if place is None or place.task_id not in {"", task_id}:
            raise TaskNotOfRun(
                f"task {task_id} does not carry run {self.run_id}: {place.task_id if place else 'nothing'} does",
                runId=self.run_id,
                taskId=task_id,
            )
        return self.with_task(replace(place, task_id=task_id))

    def with_task(self, task: RunTask) -> Run:
        """With that node's task changed."""
        return replace(self, tasks=tuple(task if each.node == task.node else each for each in self.tasks))

    def gpu_came(self) -> Run:
        """An agent with a GPU is there: it waits for one no longer."""
        return self._changed(waits_for_gpu=False) if self.waits_for_gpu else self

    # ------------------------------------------------------------------ its life
    def check_live(self) -> None:
        """Raises RunNotLive."""
        if self.state not in LIVE:
            raise RunNotLive(
                f"run {self.run_id} is {self.state}: resume it, or start another",
                runId=self.run_id,
                state=self.state,
            )

    def requeued(self, *, anew: bool = False) -> Run:
        """Its agent is gone: it waits for another one, and what the old one says no longer counts. `anew`: the tasks it
        had will fail, so it gets others."""
        if self.state is not RunState.RUNNING:
            return self
        if anew:
            again = self.expecting(len(self.tasks))
            return again._changed(state=RunState.QUEUED, submission=self.submission + 1, host_node=-1, endpoint="")
        tasks = tuple(replace(each, token="") for each in self.tasks)
        return self._changed(state=RunState.QUEUED, tasks=tasks)

    def completed(self, version: int, metrics: Mapping[str, float], now: datetime) -> Run:
        """It left a version behind. Its checkpoints are let go, unless a sweep may go on from them."""
        last = {name: Latest(value, self.progress.step) for name, value in metrics.items()}
        model = {name: each for name, each in self.files.items() if name.startswith(MODEL_FOLDER)}
        return self._changed(
            state=RunState.COMPLETED,
            model_version=version,
            metrics={**self.metrics, **last},
            files=model,
            checkpoints=self.checkpoints if self.sweep_id else (),
            failure=None,
            finished_at=now,
            heard_at=now,
        )

    def concluded(self, version: ModelVersion, now: datetime) -> Run:
        """Its version is there, and whoever registered it could not say so: it is completed, unless it has ended."""
        return self.completed(version.version, version.content.metrics, now) if self.state in LIVE else self

    def failed(self, failure: RunFailure, now: datetime) -> Run:
        """It is given up. One that has ended stays as it is."""
        return self._ended(RunState.FAILED, now, failure=failure) if self.state in LIVE else self

    def cancelled(self, reason: str, now: datetime) -> Run:
        """Somebody stopped it. One that has ended stays as it is."""
        return self._ended(RunState.CANCELLED, now, cancel_reason=reason) if self.state in LIVE else self

    def resumed(self, spec: TrainingSpec, nodes: int) -> Run:
        """It goes on from its last checkpoint, under new tasks. Raises RunNotResumable."""
        if self.state not in RESUMABLE:
            raise RunNotResumable(
                f"run {self.run_id} is {self.state}; only a FAILED or CANCELLED run can be resumed",
                runId=self.run_id,
                state=self.state,
            )
        return self.expecting(nodes)._changed(
            state=RunState.QUEUED,
            spec=spec,
            submission=self.submission + 1,
            host_node=-1,
            endpoint="",
            failure=None,
            cancel_reason="",
            finished_at=None,
            heard_at=None,
            settled=False,
            waits_for_gpu=False,
            on_gpu=False,
        )

    def released(self) -> Run:
        """Nothing goes on from it any more: the checkpoints of a completed run are let go."""
        return self._changed(checkpoints=()) if self.state is RunState.COMPLETED and self.checkpoints else self

    def _ended(self, state: RunState, now: datetime, **changes: Any) -> Run:
        return self._changed(state=state, finished_at=now, waits_for_gpu=False, **changes)

    def _changed(self, **changes: Any) -> Run:
        return replace(self, revision=self.revision + 1, **changes)
