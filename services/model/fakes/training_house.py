"""Everything about runs, put together on fakes: for tests of the domain, and of what stands on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from services.model.convert.runs import SpecMessages
from services.model.domain.runs.checkpoint import StoredFile
from services.model.domain.runs.claims import Claimant, ClaimDesk, Claimed
from services.model.domain.runs.files import CheckpointFacts, FileFact, RunFiles
from services.model.domain.runs.ports import RunBlobs
from services.model.domain.runs.progress import MetricPoint
from services.model.domain.runs.reporting import Batch, Outcome, Reporting
from services.model.domain.runs.run import Run
from services.model.domain.runs.signals import RunSignals
from services.model.domain.runs.trainings import Order, Trainings
from services.model.domain.runs.watching import WatchHub, WatchPace
from services.model.domain.sweeps.board import SweepBoard
from services.model.fakes.neighbours import FakeDatasets, FakeQueue, FakeRegistry
from services.model.fakes.run_store import FakeRunStore, FakeSweepStore

START = datetime(2026, 1, 1, tzinfo=UTC)
TENANT, PERSON = "acme", "user_1"
NOBODY = Claimant(tenant_id="", host="box", gpus=0)
"""An agent of the platform, which brings no token of a tenant, on a machine without GPUs."""
SPEC: dict[str, Any] = {
    "name": "sunspots",
    "data": {"data_id": "data_sunspots", "features": ["number"], "targets": ["number"]},
    "objective": {"kind": "OBJECTIVE_KIND_FORECASTING"},
    "optimization": {"epochs": 9},
}


class FakeTime:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Later."""
        self.now += timedelta(seconds=seconds)


class TrainingHouse:
    """The parts are attributes; the methods do what people and agents do."""

    def __init__(self, blobs: RunBlobs, *, pace: WatchPace | None = None, live_limit: int = 100) -> None:
        self.time = FakeTime()
        self._ids = count(1)
        self.store, self.sweep_store = FakeRunStore(self.time), FakeSweepStore(self.time)
        self.registry, self.datasets, self.queue, self.blobs = FakeRegistry(), FakeDatasets(), FakeQueue(), blobs
        self.specs, self.signals, self.hub = SpecMessages(), RunSignals(), WatchHub()
        self.trainings = Trainings(
            self.store,
            self.registry,
            self.datasets,
            self.queue,
            specs=self.specs,
            signals=self.signals,
            hub=self.hub,
            make_id=self.make_id,
            clock=self.time,
            live_limit=live_limit,
            pace=pace or WatchPace(poll_s=0.02, gather_s=0.001, patience_s=2),
        )
        self.desk = ClaimDesk(
            self.store,
            self.trainings,
            self.queue,
            blobs,
            self.registry,
            specs=self.specs,
            signals=self.signals,
            first_port=29_400,
        )
        self.reporting = Reporting(
            self.store, self.registry, self.datasets, self.queue, specs=self.specs, signals=self.signals
        )
        self.files = RunFiles(self.store, blobs, signals=self.signals, make_id=self.make_id, max_bytes=4 * 1024 * 1024)
        self.sweeps = SweepBoard(
            self.sweep_store,
            self.store,
            self.trainings,
            specs=self.specs,
            make_id=self.make_id,
            clock=self.time,
        )

    def make_id(self, prefix: str) -> str:
        """Ids in order."""
        return f"{prefix}_{next(self._ids):06}"

    def order(self, *, request_id: str = "", **changes: Any) -> Order:
        """Somebody wants a training; `changes` replace parts of SPEC."""
        return Order(tenant_id=TENANT, subject=PERSON, spec=self.specs.read({**SPEC, **changes}), request_id=request_id)

    async def start(self, **changes: Any) -> Run:
        """A run in the queue."""
        return await self.trainings.start(self.order(**changes))

    async def claim(self, run: Run, *, gpus: int = 0, host: str = "box", node: int = 0) -> Claimed:
        """An agent leases the run's task and claims it."""
        task_id = (await self.store.get(run.tenant_id, run.run_id)).tasks[node].task_id
        return await self.desk.claim(self.queue.lease(task_id), Claimant(tenant_id="", host=host, gpus=gpus))

    async def running(self, **changes: Any) -> Claimed:
        """A run that an agent has taken up."""
        return await self.claim(await self.start(**changes))

    async def report(self, token: bytes, batch: int, *steps: int, name: str = "train/loss") -> int:
        """Points of these steps; the value is 1 / step."""
        points = [MetricPoint(name, 1 / step, step, 1, self.time()) for step in steps]
        return await self.reporting.report(token, Batch(number=batch, points=points), tenant_id="")

    async def upload(self, token: bytes, name: str, content: bytes) -> StoredFile:
        """A file of the run."""
        return await self.files.upload(token, name, _once(content), tenant_id="")

    async def checkpoint(self, token: bytes, step: int, *, best: bool = False, content: bytes = b"weights") -> Run:
        """A whole checkpoint of two files."""
        folder = f"checkpoints/{step:06}"
        names = ("model.safetensors", "state.json")
        stored = [await self.upload(token, f"{folder}/{name}", content + name.encode()) for name in names]
        facts = [FileFact(name, each.size, each.sha256) for name, each in zip(names, stored, strict=True)]
        told = CheckpointFacts(step=step, folder=folder, files=facts, best=best)
        return await self.files.commit(token, told, tenant_id="")

    async def finish(self, token: bytes, **metrics: float) -> Run:
        """Stores a model and completes the run."""
        await self.upload(token, "model/model.safetensors", b"trained")
        outcome = Outcome(metrics=metrics or {"val/loss": 0.25}, files=("model/model.safetensors",), parameters=7)
        return await self.reporting.complete(token, outcome, tenant_id="")

    async def read(self, token: bytes, name: str) -> bytes:
        """A file of the checkpoint that the claim goes on from."""
        return b"".join([chunk async for chunk in self.files.download(token, name, tenant_id="")])

    async def of_sweep(self, sweep_id: str) -> Sequence[Run]:
        """Its runs, the oldest first."""
        return sorted(
            (each for each in self.store.runs.values() if each.sweep_id == sweep_id), key=lambda each: each.run_id
        )


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
