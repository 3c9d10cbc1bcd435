"""The orchestrator and the data service in memory, as runs see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from automesh.core.errors import AutomationError, Kind, NotFound, TaskError
from services.model.domain.registry.version import ModelVersion, NewVersion
from services.model.domain.runs.ports import LeasedTask, NewTask, TaskSight
from services.model.domain.training.data_view import READY, ColumnView, DataView, PartView


class FakeLeaseLost(TaskError):
    """As the orchestrator says it."""

    kind = Kind.ABORTED
    reason = "LEASE_LOST"


@dataclass(slots=True)
class FakeTask:
    """A task in the fake queue."""

    task_id: str
    new: NewTask
    status: str = "SCHEDULED"
    attempt: int = 0
    reason: str = ""
    message: str = ""


@dataclass(slots=True)
class FakeQueue:
    """A services.model.domain.run_ports.TaskQueue. `error` is raised by every call while it is set."""

    tasks: dict[str, FakeTask] = field(default_factory=dict)
    gpu: bool = False
    error: AutomationError | None = None
    cancelled: list[tuple[str, str]] = field(default_factory=list)

    async def submit(self, task: NewTask) -> str:
        self._check()
        for known in self.tasks.values():
            if known.new.request_id == task.request_id:
                return known.task_id
        task_id = f"task_{len(self.tasks) + 1}"
        self.tasks[task_id] = FakeTask(task_id, task)
        return task_id

    async def describe(self, lease_token: bytes) -> LeasedTask:
        self._check()
        task_id, _, attempt = lease_token.decode().partition(":")
        task = self.tasks.get(task_id)
        if task is None or task.status != "RUNNING" or task.attempt != int(attempt):
            raise FakeLeaseLost(f"the lease of task {task_id} is over")
        return LeasedTask(
            task_id=task_id,
            tenant_id=task.new.tenant_id,
            type=task.new.type,
            attempt=task.attempt,
            created_by=task.new.subject,
            input=task.new.input,
            last_failure=task.reason,
        )

    async def sight(self, tenant_id: str, task_id: str) -> TaskSight:
        self._check()
        task = self.tasks.get(task_id)
        return TaskSight(task.status, task.reason, task.message) if task else TaskSight("")

    async def cancel(self, tenant_id: str, subject: str, task_id: str, reason: str) -> None:
        self._check()
        self.cancelled.append((task_id, reason))
        if task_id in self.tasks and self.tasks[task_id].status in {"SCHEDULED", "RUNNING"}:
            self.tasks[task_id].status = "CANCELLED"

    async def has_gpu(self, tenant_id: str) -> bool:
        self._check()
        return self.gpu

    # ------------------------------------------------------------------ what tests do
    def lease(self, task_id: str) -> bytes:
        """Hands the task to an agent; returns the lease token."""
        task = self.tasks[task_id]
        task.status, task.attempt = "RUNNING", task.attempt + 1
        return f"{task_id}:{task.attempt}".encode()

    def end(self, task_id: str, status: str, reason: str = "", message: str = "") -> None:
        """The task ends, or goes back into the queue."""
        task = self.tasks[task_id]
        task.status, task.reason, task.message = status, reason, message

    def ask(self, spec: dict[str, Any], *, tenant_id: str, subject: str) -> str:
        """Somebody makes a task of a bare spec."""
        task_id = f"task_{len(self.tasks) + 1}"
        new = NewTask(
            tenant_id=tenant_id,
            subject=subject,
            type="model_training",
            description="",
            input=spec,
            timeout=timedelta(hours=1),
            request_id=task_id,
        )
        self.tasks[task_id] = FakeTask(task_id, new)
        return task_id

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


SUNSPOTS = DataView(
    data_id="data_sunspots",
    version=3,
    state=READY,
    columns=(ColumnView("year", "INT64"), ColumnView("number", "FLOAT64"), ColumnView("station", "STRING")),
    parts=(PartView("train", 240, 200, 1), PartView("validation", 60, 30, 1)),
    window=20,
    stride=1,
    horizon=1,
    digest="d" * 64,
)


class FakeDatasets:
    """A services.model.domain.run_ports.Datasets with one dataset, of every tenant."""

    def __init__(self, *versions: DataView) -> None:
        self.versions: Sequence[DataView] = versions or (SUNSPOTS,)
        self.dependents: list[tuple[str, int, str, int]] = []
        self.error: AutomationError | None = None

    async def version(self, tenant_id: str, subject: str, data_id: str, version: int) -> DataView:
        if self.error is not None:
            raise self.error
        found = [each for each in self.versions if each.data_id == data_id and version in {0, each.version}]
        if not found:
            raise NotFound(f"there is no dataset {data_id!r} with version {version}")
        return found[-1]

    async def add_dependent(
        self, tenant_id: str, subject: str, data_id: str, version: int, *, model_id: str, model_version: int
    ) -> None:
        if self.error is not None:
            raise self.error
        dependent = (data_id, version, model_id, model_version)
        if dependent not in self.dependents:
            self.dependents.append(dependent)


class FakeRegistry:
    """A services.model.domain.run_ports.ModelRegistry: versions by run, in the order they came."""

    def __init__(self) -> None:
        self.models: dict[str, str] = {}
        self.versions: dict[str, NewVersion] = {}
        self.asked: list[tuple[str, ...]] = []

    async def open_model(self, tenant_id: str, *, model_id: str, name: str, description: str, created_by: str) -> str:
        if model_id:
            return model_id
        return self.models.setdefault(name, f"model_{len(self.models) + 1}")

    async def add_version(
        self,
        tenant_id: str,
        model_id: str,
        run_id: str,
        new: NewVersion,
        *,
        aliases: Sequence[str] = (),
        holder: str = "",
    ) -> int:
        if run_id not in self.versions:
            self.versions[run_id] = replace(new)
            self.asked.append(tuple(aliases))
        return list(self.versions).index(run_id) + 1

    async def version_of_run(self, tenant_id: str, run_id: str) -> ModelVersion | None:
        if run_id not in self.versions:
            return None
        return ModelVersion(
            tenant_id=tenant_id,
            model_id="",
            version=list(self.versions).index(run_id) + 1,
            run_id=run_id,
            content=self.versions[run_id],
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
