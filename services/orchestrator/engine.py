"""The task engine of one replica, put together: servicers, loops, and what they share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from prometheus_client import REGISTRY, CollectorRegistry

from automesh.core.clock import Clock, utc_now
from automesh.core.errors import AutomationError
from automesh.core.ids import new_id
from automesh.mesh.loops import Step, running
from automesh.mesh.server import MAX_MESSAGE_BYTES, Bound
from automesh.orchestrator.v1 import (
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
    work_service_pb2,
    work_service_pb2_grpc,
)
from automesh.storage.fanout import Fanout
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from services.orchestrator.clients.meters import PrometheusMeter
from services.orchestrator.clients.relay import signal_relay
from services.orchestrator.domain.board import TaskBoard
from services.orchestrator.domain.desk import WorkDesk
from services.orchestrator.domain.lease import LeaseTokens, Terms
from services.orchestrator.domain.ports import Blobs
from services.orchestrator.domain.reports import Reports
from services.orchestrator.domain.sessions import Sessions
from services.orchestrator.domain.shelf import ArtifactShelf
from services.orchestrator.domain.signals import Signals
from services.orchestrator.domain.watching import WatchHub
from services.orchestrator.loops.dispatcher import Dispatcher
from services.orchestrator.loops.housekeeping import Housekeeping
from services.orchestrator.loops.keeper import Keeper, Reporter
from services.orchestrator.loops.reaper import Reaper
from services.orchestrator.service.artifact_service import ArtifactServicer
from services.orchestrator.service.task_service import TaskServicer
from services.orchestrator.service.work_service import WorkServicer
from services.orchestrator.store.agents import SqlAgentStore
from services.orchestrator.store.artifacts import SqlArtifactStore
from services.orchestrator.store.leases import SqlLeaseStore
from services.orchestrator.store.tasks import SqlTaskStore

LONGEST_REAP_S, LONGEST_EXTEND_S = 1.0, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an operator or a test may choose."""

    replica: str
    terms: Terms = field(default_factory=Terms)
    queue_limit: int = 1000
    max_artifact_bytes: int = 256 * 1024 * 1024
    clock: Clock = utc_now
    make_id: Callable[[str], str] = new_id
    registry: CollectorRegistry = REGISTRY


class Engine:
    """Everything of one replica. Nothing happens before `open`."""

    def __init__(self, database: Database, keyring: Keyring, blobs: Blobs, fanout: Fanout, options: Options) -> None:
        sealer = Sealer(keyring)
        self.tasks = SqlTaskStore(database, sealer)
        self.leases = SqlLeaseStore(database, sealer)
        self.agents = SqlAgentStore(database)
        self.meter = PrometheusMeter(options.registry)
        self.relay = signal_relay(fanout, replica=options.replica)
        self.signals = Signals(self.relay)
        self.sessions = Sessions()
        self.hub = WatchHub()
        self.reports = Reports(self.leases)
        self.tokens = LeaseTokens(keyring.key, keyring.active)
        self.options = options
        self.board = self._board()
        self.desk = self._desk()
        self.shelf = ArtifactShelf(
            SqlArtifactStore(database),
            blobs,
            self.tokens,
            make_id=options.make_id,
            max_bytes=options.max_artifact_bytes,
        )

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Sequence[Bound]]:
        """Runs the loops while it is open; yields the servicers."""
        try:
            async with running(self._steps()):
                yield self._bounds()
            with suppress(AutomationError):  # the database may be gone; agents repeat what was not acknowledged
                await self.desk.flush_reports()
        finally:
            self.meter.close()

    def _board(self) -> TaskBoard:
        return TaskBoard(
            self.tasks,
            signals=self.signals,
            hub=self.hub,
            meter=self.meter,
            make_id=self.options.make_id,
            clock=self.options.clock,
            queue_limit=self.options.queue_limit,
        )

    def _desk(self) -> WorkDesk:
        return WorkDesk(
            self.agents,
            self.leases,
            sessions=self.sessions,
            reports=self.reports,
            signals=self.signals,
            tokens=self.tokens,
            meter=self.meter,
            make_id=self.options.make_id,
            terms=self.options.terms,
        )

    def _steps(self) -> dict[str, Step]:
        ttl_s = self.options.terms.lease_ttl.total_seconds()
        dispatcher = Dispatcher(self.sessions, self.leases, self.desk)
        self.signals.listen(dispatcher.on_signal)
        reap_s = min(LONGEST_REAP_S, ttl_s / 4)
        reaper = Reaper(self.leases, self.signals, self.meter, every_s=reap_s, grace_s=ttl_s)
        return {
            "lease": dispatcher.step,
            "extend": Keeper(self.desk, every_s=min(LONGEST_EXTEND_S, ttl_s / 5)).step,
            "report": Reporter(self.desk, self.reports).step,
            "reap": reaper.step,
            "send signals": self.relay.send_forever,
            "receive signals": lambda: self.relay.receive_forever(self.signals.deliver),
            "housekeeping": Housekeeping(self.tasks, self.agents, self.shelf, self.meter).step,
        }

    def _bounds(self) -> list[Bound]:
        return [
            Bound(
                task_service_pb2.DESCRIPTOR.services_by_name["TaskService"],
                task_service_pb2_grpc.add_TaskServiceServicer_to_server,
                TaskServicer(self.board),
            ),
            Bound(
                work_service_pb2.DESCRIPTOR.services_by_name["WorkService"],
                work_service_pb2_grpc.add_WorkServiceServicer_to_server,
                WorkServicer(self.desk, max_message_bytes=MAX_MESSAGE_BYTES),
            ),
            Bound(
                artifact_service_pb2.DESCRIPTOR.services_by_name["ArtifactService"],
                artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server,
                ArtifactServicer(self.shelf),
            ),
        ]
