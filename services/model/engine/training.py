"""Runs, put together: servicers, loops, and what they share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from automesh.core.clock import Clock, utc_now
from automesh.core.ids import new_id
from automesh.mesh.loops import Step, every, running
from automesh.mesh.server import Bound
from automesh.model.v1 import run_service_pb2, run_service_pb2_grpc, training_service_pb2, training_service_pb2_grpc
from automesh.storage.fanout import Fanout
from automesh.storage.postgres import Database
from automesh.storage.relay import FanoutRelay
from services.model.convert.runs import SpecMessages
from services.model.domain.runs.claims import ClaimDesk
from services.model.domain.runs.files import RunFiles
from services.model.domain.runs.ports import Datasets, ModelRegistry, RunBlobs, TaskQueue
from services.model.domain.runs.reporting import Reporting
from services.model.domain.runs.signals import GAP, RunSignals
from services.model.domain.runs.trainings import Trainings
from services.model.domain.runs.watching import WatchHub, WatchPace
from services.model.domain.sweeps.board import SweepBoard
from services.model.loops.points import PointRetention
from services.model.loops.reconciler import GRACE, SILENT_FOR, Reconciler
from services.model.service.run_service import RunServicer
from services.model.service.training_service import TrainingServicer
from services.model.store.runs import SqlRunStore
from services.model.store.sweeps import SqlSweepStore

RECONCILE_S, SWEEP_S, RETENTION_S = 5.0, 1.0, 300.0
HINTS = "model.runs"
"""Where replicas tell each other which runs changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """What an operator or a test may choose."""

    replica: str
    live_runs: int = 1000
    max_file_bytes: int = 8 * 1024 * 1024 * 1024
    silence_limit: timedelta = timedelta(seconds=120)
    points_per_run: int = 1_000_000
    points_kept: timedelta = timedelta(days=90)
    rendezvous_port: int = 29_400
    reconcile_s: float = RECONCILE_S
    silent_for: timedelta = SILENT_FOR
    grace: timedelta = GRACE
    sweep_s: float = SWEEP_S
    pace: WatchPace = field(default_factory=WatchPace)
    clock: Clock = utc_now
    make_id: Callable[[str], str] = new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Whom runs need besides their own tables."""

    registry: ModelRegistry
    datasets: Datasets
    queue: TaskQueue
    blobs: RunBlobs
    fanout: Fanout


class TrainingEngine:
    """Everything about runs of one replica. Nothing happens before `open`."""

    def __init__(self, database: Database, neighbours: Neighbours, options: TrainingOptions) -> None:
        self._neighbours, self._options = neighbours, options
        self.store, self._sweep_store = SqlRunStore(database), SqlSweepStore(database)
        self._relay: FanoutRelay[str] = FanoutRelay(
            neighbours.fanout, channel=HINTS, replica=options.replica, gap=GAP, encode=str, decode=str
        )
        self.signals = RunSignals(self._relay)
        self.hub = WatchHub()
        self._specs = SpecMessages()
        self.trainings = self._trainings()
        self.sweeps = SweepBoard(
            self._sweep_store,
            self.store,
            self.trainings,
            specs=self._specs,
            make_id=options.make_id,
            clock=options.clock,
        )

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Sequence[Bound]]:
        """Runs the loops while it is open; yields the servicers."""
        async with running(self._steps()):
            yield self._bounds()

    def _trainings(self) -> Trainings:
        near, options = self._neighbours, self._options
        return Trainings(
            self.store,
            near.registry,
            near.datasets,
            near.queue,
            specs=self._specs,
            signals=self.signals,
            hub=self.hub,
            make_id=options.make_id,
            clock=options.clock,
            live_limit=options.live_runs,
            pace=options.pace,
        )

    def _steps(self) -> dict[str, Step]:
        options = self._options
        reconciler = Reconciler(
            self.store,
            self._neighbours.queue,
            self._neighbours.datasets,
            self._neighbours.registry,
            signals=self.signals,
            clock=options.clock,
            silent_for=options.silent_for,
            grace=options.grace,
        )
        retention = PointRetention(self.store, ended_for=options.points_kept, keep=options.points_per_run)
        return {
            "reconcile runs": _paced(options.reconcile_s, reconciler.step, "reconcile runs"),
            "advance sweeps": _paced(options.sweep_s, self._advance_sweeps, "advance sweeps"),
            "forget points": _paced(RETENTION_S, retention.step, "forget points"),
            "send hints": self._relay.send_forever,
            "receive hints": lambda: self._relay.receive_forever(self.signals.deliver),
        }

    async def _advance_sweeps(self) -> None:
        await self.sweeps.advance_due(every=timedelta(seconds=self._options.sweep_s))

    def _bounds(self) -> list[Bound]:
        near, options = self._neighbours, self._options
        desk = ClaimDesk(
            self.store,
            self.trainings,
            near.queue,
            near.blobs,
            near.registry,
            specs=self._specs,
            signals=self.signals,
            first_port=options.rendezvous_port,
        )
        reporting = Reporting(
            self.store, near.registry, near.datasets, near.queue, specs=self._specs, signals=self.signals
        )
        files = RunFiles(
            self.store, near.blobs, signals=self.signals, make_id=options.make_id, max_bytes=options.max_file_bytes
        )
        return [
            Bound(
                run_service_pb2.DESCRIPTOR.services_by_name["RunService"],
                run_service_pb2_grpc.add_RunServiceServicer_to_server,
                RunServicer(self.trainings, self.sweeps),
            ),
            Bound(
                training_service_pb2.DESCRIPTOR.services_by_name["TrainingService"],
                training_service_pb2_grpc.add_TrainingServiceServicer_to_server,
                TrainingServicer(desk, reporting, files, silence_limit=options.silence_limit),
            ),
        ]


def _paced(seconds: float, step: Step, name: str) -> Step:
    return lambda: every(seconds, step, name=name)
