"""The data service of one replica, put together: servicers, loops, and what they share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from automesh.core.clock import Clock, utc_now
from automesh.core.ids import new_id
from automesh.data.v1 import (
    data_service_pb2,
    data_service_pb2_grpc,
    processing_service_pb2,
    processing_service_pb2_grpc,
)
from automesh.mesh.loops import running
from automesh.mesh.server import Bound
from automesh.storage.ledger import SqlBlobLedger
from automesh.storage.postgres import Database
from automesh.storage.sealing import Sealer
from services.data.convert.orders import order_of_input
from services.data.domain.catalogue import DatasetCatalogue
from services.data.domain.claims import ClaimDesk
from services.data.domain.dependents import Dependents
from services.data.domain.fetching import UrlFetcher
from services.data.domain.follower import TaskFollower
from services.data.domain.intake import UploadIntake
from services.data.domain.job import Engine, JobWriter, Limits
from services.data.domain.maker import VersionMaker
from services.data.domain.order import Resolver
from services.data.domain.ports import Blobs, Converter, Tasks, Urls
from services.data.domain.reader import DatasetReader
from services.data.loops.housekeeping import Housekeeping, Reconciler
from services.data.service.data_service import DataServicer
from services.data.service.processing_service import ProcessingServicer
from services.data.store.claims import SqlClaimStore
from services.data.store.datasets import SqlDatasetStore
from services.data.store.lineage import SqlLineageStore
from services.data.store.uploads import SqlUploadStore
from services.data.store.versions import SqlVersionStore

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an operator or a test may choose."""

    engine: Engine = field(default_factory=Engine)
    limits: Limits = field(
        default_factory=lambda: Limits(max_rows=10**9, max_columns=4096, max_bytes=64 * GIB, max_cell=1024 * 1024)
    )
    max_upload_bytes: int = 4 * GIB
    max_file_bytes: int = 64 * GIB
    quota: int = 1024 * GIB
    keep_uploads: timedelta = timedelta(hours=24)
    quiet_for: timedelta = timedelta(seconds=15)
    follow_every_s: float = 5.0
    clean_every_s: float = 60.0
    fetch_wait_s: float = 20.0
    clock: Clock = utc_now
    make_id: Callable[[str], str] = new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the service reaches out to."""

    blobs: Blobs
    tasks: Tasks
    urls: Urls
    converter: Converter


class DataEngine:
    """Everything of one replica. Nothing happens before `open`."""

    def __init__(self, database: Database, sealer: Sealer, outside: Outside, options: Options) -> None:
        self.datasets, self.lineage = SqlDatasetStore(database), SqlLineageStore(database)
        self.versions, self.claims = SqlVersionStore(database, sealer), SqlClaimStore(database, sealer)
        self.uploads, self.ledger = SqlUploadStore(database), SqlBlobLedger(database)
        self.outside, self.options = outside, options
        self.intake = self._intake()
        self.fetcher = UrlFetcher(outside.urls, self.intake, self.uploads, self.claims, wait_s=options.fetch_wait_s)
        self.maker = self._maker()
        self.desk = self._desk()
        self.catalogue = DatasetCatalogue(self.datasets, self.versions, self.lineage, outside.tasks)
        self.reader = DatasetReader(self.versions, outside.blobs, outside.converter, outside.tasks)
        self.follower = TaskFollower(self.versions, outside.tasks, self.maker, quiet_for=options.quiet_for)
        self.housekeeping = Housekeeping(
            self.uploads, self.versions, self.ledger, outside.blobs, every_s=options.clean_every_s
        )

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Sequence[Bound]]:
        """Runs the loops while it is open; yields the servicers."""
        reconciler = Reconciler(self.follower, every_s=self.options.follow_every_s)
        try:
            async with running({"follow tasks": reconciler.step, "housekeeping": self.housekeeping.step}):
                yield self._bounds()
        finally:
            await self.fetcher.close()

    def _intake(self) -> UploadIntake:
        return UploadIntake(
            self.uploads,
            self.ledger,
            self.outside.blobs,
            make_id=self.options.make_id,
            clock=self.options.clock,
            max_bytes=self.options.max_upload_bytes,
            quota=self.options.quota,
            keep_for=self.options.keep_uploads,
        )

    def _maker(self) -> VersionMaker:
        return VersionMaker(
            self.versions,
            self.uploads,
            self.outside.tasks,
            Resolver(self.versions, self.uploads, self.outside.urls),
            make_id=self.options.make_id,
            read_order=order_of_input,
            made=self.fetcher.begin,
            quota=self.options.quota,
        )

    def _desk(self) -> ClaimDesk:
        return ClaimDesk(
            self.outside.tasks,
            self.maker,
            versions=self.versions,
            claims=self.claims,
            fetcher=self.fetcher,
            jobs=JobWriter(self.versions, self.uploads, engine=self.options.engine, limits=self.options.limits),
            ledger=self.ledger,
            blobs=self.outside.blobs,
            make_id=self.options.make_id,
            max_file_bytes=self.options.max_file_bytes,
        )

    def _bounds(self) -> list[Bound]:
        return [
            Bound(
                data_service_pb2.DESCRIPTOR.services_by_name["DataService"],
                data_service_pb2_grpc.add_DataServiceServicer_to_server,
                DataServicer(self.catalogue, self.maker, self.intake, self.reader),
            ),
            Bound(
                processing_service_pb2.DESCRIPTOR.services_by_name["ProcessingService"],
                processing_service_pb2_grpc.add_ProcessingServiceServicer_to_server,
                ProcessingServicer(self.desk, self.reader, Dependents(self.lineage)),
            ),
        ]
