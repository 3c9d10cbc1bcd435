"""What the domain of runs needs from outside. Fakes of all of these are in services.model.fakes."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from services.model.domain.registry.version import ModelVersion, NewVersion
from services.model.domain.runs.progress import MetricPoint
from services.model.domain.runs.run import Run, RunState
from services.model.domain.sweeps.sweep import Sweep
from services.model.domain.training.data_view import DataView
from services.model.domain.training.spec import TrainingSpec

Change = Callable[[Run, datetime], Run]
Recording = Callable[[Run, datetime], tuple[Run, Sequence[MetricPoint]]]
SweepChange = Callable[[Sweep, datetime], Sweep]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """A page of runs: `before` is the id after which it begins, newest first; empty fields do not filter."""

    limit: int
    before: str | None = None
    model_id: str = ""
    state: RunState | None = None
    sweep_id: str = ""

    def one_more(self) -> RunQuery:
        """With one more, which tells whether there is another page."""
        return replace(self, limit=self.limit + 1)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a watcher whether there is something new."""

    revision: int
    last_sequence: int


class RunStore(Protocol):
    """Runs and their points. A change is under the run's lock; blobs that no run names any more become discarded."""

    async def create(
        self, run: Run, *, request_id: str = "", fingerprint: str = "", limit: int, new_model: bool = False
    ) -> tuple[Run, bool]:
        """Stores a run, or returns the one of that run_id, request_id or task; whether it is new.

        Raises RunRequestReused, TooManyRuns when the tenant has `limit` live runs, and ModelNameTaken when the model
        was made for the run (`new_model`) and another run or sweep was quicker.
        """
        ...

    async def by_request(self, tenant_id: str, request_id: str, fingerprint: str) -> Run | None:
        """The run of a request_id. Raises RunRequestReused when it stands for something else."""
        ...

    async def get(self, tenant_id: str, run_id: str) -> Run:
        """Raises RunNotFound."""
        ...

    async def of_task(self, task_id: str) -> Run | None:
        """The run that a task carries or carried, of any tenant."""
        ...

    async def of_token(self, token: str) -> Run | None:
        """The run whose claim has that token (SHA-256, hex), of any tenant."""
        ...

    async def list(self, tenant_id: str, query: RunQuery) -> Sequence[Run]:
        """Newest first."""
        ...

    async def change(self, tenant_id: str, run_id: str, change: Change) -> tuple[Run, Run]:
        """Before and after. Raises RunNotFound."""
        ...

    async def record(self, tenant_id: str, run_id: str, recording: Recording) -> Run:
        """As `change`, with points that are numbered already."""
        ...

    async def delete(self, tenant_id: str, run_id: str) -> None:
        """Forgets a run that never got a task; any other stays."""
        ...

    async def stamp(self, tenant_id: str, run_id: str) -> Stamp:
        """Raises RunNotFound."""
        ...

    async def points(
        self, tenant_id: str, run_id: str, *, after: int, limit: int, names: Collection[str] = ()
    ) -> Sequence[MetricPoint]:
        """By sequence."""
        ...

    async def reserve(self, blob: str, keep_for: timedelta) -> None:
        """Remembers a blob before its first byte is written, so that it is removed should nothing come of it."""
        ...

    async def unheard(self, *, silent_for: timedelta, limit: int) -> Sequence[Run]:
        """Runs to look after: live and not heard of lately, or ended with something left to do. Each comes to one
        caller only, and not again for `silent_for`."""
        ...

    async def forget_points(self, *, ended_for: timedelta, keep: int, limit: int) -> int:
        """Removes points of runs that ended long ago, and what is beyond `keep` in a run; returns how many."""
        ...


class SweepStore(Protocol):
    """Sweeps. A change is under the sweep's lock."""

    async def create(
        self, sweep: Sweep, *, request_id: str = "", fingerprint: str = "", new_model: bool = False
    ) -> tuple[Sweep, bool]:
        """Stores a sweep, or returns the one of that request_id; whether it is new. Raises RunRequestReused, and
        ModelNameTaken as RunStore.create."""
        ...

    async def by_request(self, tenant_id: str, request_id: str, fingerprint: str) -> Sweep | None:
        """The sweep of a request_id. Raises RunRequestReused when it stands for something else."""
        ...

    async def get(self, tenant_id: str, sweep_id: str) -> Sweep:
        """Raises SweepNotFound."""
        ...

    async def change(self, tenant_id: str, sweep_id: str, change: SweepChange) -> tuple[Sweep, Sweep]:
        """Before and after. Raises SweepNotFound."""
        ...

    async def due(self, *, every: timedelta, limit: int) -> Sequence[Sweep]:
        """Sweeps under way that nobody looked after for `every`; each comes to one caller only."""
        ...


class RunBlobs(Protocol):
    """Encrypted blobs, by name."""

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> Any:
        """Stores all of `chunks` or nothing; returns something with `size` and `sha256`."""
        ...

    def get(self, name: str) -> AsyncIterator[bytes]:
        """Chunks of at most 1 MiB."""
        ...

    def list(self, prefix: str = "") -> AsyncIterator[Any]:
        """Things with `name` and `stored_bytes`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedTask:
    """What a lease is for."""

    task_id: str
    tenant_id: str
    type: str
    attempt: int
    created_by: str
    input: Mapping[str, Any] = field(default_factory=dict)
    last_failure: str = ""


@dataclass(frozen=True, slots=True)
class TaskSight:
    """How a task stands: SCHEDULED, RUNNING, COMPLETED, FAILED or CANCELLED; empty: it is gone."""

    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to be submitted for somebody. The same `request_id` submits it only once."""

    tenant_id: str
    subject: str
    type: str
    description: str
    input: Mapping[str, Any]
    timeout: timedelta
    request_id: str


class TaskQueue(Protocol):
    """The orchestrator, as the model service needs it."""

    async def submit(self, task: NewTask) -> str:
        """The id of the task."""
        ...

    async def describe(self, lease_token: bytes) -> LeasedTask:
        """What the lease is for. Raises an error of kind ABORTED when it is lost."""
        ...

    async def sight(self, tenant_id: str, task_id: str) -> TaskSight:
        """How a task stands."""
        ...

    async def cancel(self, tenant_id: str, subject: str, task_id: str, reason: str) -> None:
        """Stops a task; one that is over or gone is no error."""
        ...

    async def has_gpu(self, tenant_id: str) -> bool:
        """Whether an agent with a GPU is connected that may work for the tenant."""
        ...


class Datasets(Protocol):
    """The data service, as the model service needs it."""

    async def version(self, tenant_id: str, subject: str, data_id: str, version: int) -> DataView:
        """A version; 0 is the latest that is READY. Raises what the data service raises."""
        ...

    async def add_dependent(
        self, tenant_id: str, subject: str, data_id: str, version: int, *, model_id: str, model_version: int
    ) -> None:
        """Says that a model depends on a version. Safe to repeat."""
        ...


class ModelRegistry(Protocol):
    """Models and versions, as runs need them."""

    async def open_model(self, tenant_id: str, *, model_id: str, name: str, description: str, created_by: str) -> str:
        """The id of the model that is named, or of a new one."""
        ...

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
        """The number of the version of that run, which asks for `aliases`. Safe to repeat. Raises RunTokenStale unless
        the token whose SHA-256 is `holder` holds the run."""
        ...

    async def version_of_run(self, tenant_id: str, run_id: str) -> ModelVersion | None:
        """The version that came of a run."""
        ...


class SpecJson(Protocol):
    """Specs as JSON objects, both ways."""

    def read(self, content: Mapping[str, Any]) -> TrainingSpec:
        """Raises ValidationError."""
        ...

    def write(self, spec: TrainingSpec) -> dict[str, Any]:
        """With all defaults filled in."""
        ...
