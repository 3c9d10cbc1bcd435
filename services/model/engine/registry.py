"""The registry, put together: models, aliases behind gates, webhooks; their servicers and loops."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from automesh.core.clock import Clock, utc_now
from automesh.core.ids import new_id
from automesh.core.webhooks import Sender
from automesh.mesh.loops import running
from automesh.mesh.server import Bound
from automesh.model.v1 import (
    model_service_pb2,
    model_service_pb2_grpc,
    webhook_service_pb2,
    webhook_service_pb2_grpc,
)
from automesh.outbound.deliveries import Deliveries
from automesh.storage.blobs import BlobStore
from automesh.storage.postgres import Database
from automesh.storage.sealing import Sealer
from services.model.clients.removable import StoredBlobs
from services.model.domain.registry.measuring import Measurer
from services.model.domain.registry.ports import Datasets, DataStatistics, LatencyProbe, ModelStore
from services.model.domain.registry.promotion import Promotion
from services.model.domain.registry.registry import Registry
from services.model.domain.registry.upkeep import Upkeep
from services.model.domain.serving.prediction import Predictor
from services.model.domain.webhooks.courier import Courier, Webhooks
from services.model.loops.registry_upkeep import RegistryUpkeep
from services.model.service.model_service import ModelServicer
from services.model.service.webhook_service import WebhookServicer
from services.model.store.alias_requests import SqlAliasRequests
from services.model.store.deliveries import SqlDeliveryStore
from services.model.store.discards import SqlDiscards
from services.model.store.webhooks import SqlWebhookStore

UPKEEP_S, POLL_S = 2.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryNeighbours:
    """Whom the registry needs besides its own tables."""

    blobs: BlobStore
    latency: LatencyProbe | None
    predictor: Predictor
    statistics: DataStatistics
    datasets: Datasets
    sender: Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOptions:
    """What a test may choose."""

    upkeep_s: float = UPKEEP_S
    poll_s: float = POLL_S
    clock: Clock = utc_now
    make_id: Callable[[str], str] = new_id


class RegistryEngine:
    """Everything about models of one replica. Nothing happens before `open`."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        store: ModelStore,
        neighbours: RegistryNeighbours,
        options: RegistryOptions | None = None,
    ) -> None:
        self._neighbours, self._options = neighbours, options or RegistryOptions()
        make_id = self._options.make_id
        keeper = Measurer(neighbours.latency, neighbours.statistics)
        self.promotion = Promotion(store, SqlAliasRequests(database), keeper, make_id=make_id)
        self.registry = Registry(store, neighbours.blobs, self.promotion, make_id=make_id)
        self.deliveries = SqlDeliveryStore(database, sealer)
        self.webhooks = Webhooks(SqlWebhookStore(database, sealer), neighbours.sender, make_id=make_id)
        self.courier = Courier(self.deliveries, neighbours.sender, clock=self._options.clock)
        self.upkeep = Upkeep(SqlDiscards(database), StoredBlobs(neighbours.blobs), neighbours.datasets)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Sequence[Bound]]:
        """Runs the loops while it is open; yields the servicers."""
        carrying = Deliveries(self.courier, poll_s=self._options.poll_s)
        upkeep = RegistryUpkeep(self.promotion, self.upkeep, self.deliveries, every_s=self._options.upkeep_s)
        try:
            async with running({"deliver to webhooks": carrying.step, "registry upkeep": upkeep.step}):
                yield self._bounds()
        finally:
            await carrying.close()

    def _bounds(self) -> list[Bound]:
        return [
            Bound(
                model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
                model_service_pb2_grpc.add_ModelServiceServicer_to_server,
                ModelServicer(self.registry, self.promotion, self._neighbours.predictor),
            ),
            Bound(
                webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"],
                webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server,
                WebhookServicer(self.webhooks, self.courier),
            ),
        ]
