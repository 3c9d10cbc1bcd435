"""Wires the model service: the ground it stands on, then its parts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

from automesh.core.webhooks import Sender
from automesh.mesh.process import Mesh
from automesh.mesh.server import Bound
from automesh.outbound.webhooks import open_sender
from services.model.clients.data import DataService
from services.model.clients.orchestrator import OrchestratorQueue
from services.model.clients.releases import GrpcReleases
from services.model.clients.statistics import GrpcStatistics
from services.model.domain.registry.registry import Registry
from services.model.engine.ground import Ground, open_ground
from services.model.engine.registry import RegistryEngine, RegistryNeighbours
from services.model.engine.serving import Serving, open_serving
from services.model.engine.training import Neighbours, TrainingEngine, TrainingOptions
from services.model.loops.farewell import farewell
from services.model.settings import Settings
from services.model.store.versions import SqlModelStore


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
    """See automesh.mesh.process.run."""
    async with open_ground(settings, mesh) as ground, _sender(settings) as sender:
        store = SqlModelStore(ground.database)
        async with open_serving(settings, store, ground.blobs) as serving:
            models = RegistryEngine(ground.database, ground.sealer, store, _outside(ground, serving, sender))
            training = TrainingEngine(ground.database, _neighbours(ground, models.registry), _options(settings))
            async with models.open() as registry, training.open() as runs:
                mesh.spawn(farewell(mesh.stopping, training.hub), "farewell")
                yield [*registry, *runs, *serving.bounds]


def _sender(settings: Settings) -> AbstractAsyncContextManager[Sender]:
    return open_sender(
        settings.webhook_url_allow_list,
        setting="AUTOMESH_WEBHOOK_URL_ALLOW_LIST",
        field="webhook.url",
        timeout_s=settings.webhook_timeout_s,
        ca_file=settings.webhook_ca_file,
    )


def _outside(ground: Ground, serving: Serving, sender: Sender) -> RegistryNeighbours:
    return RegistryNeighbours(
        blobs=ground.blobs,
        latency=serving.latency,
        predictor=serving.predictor,
        statistics=GrpcStatistics(ground.data),
        datasets=GrpcReleases(ground.data),
        sender=sender,
    )


def _neighbours(ground: Ground, registry: Registry) -> Neighbours:
    return Neighbours(
        registry=registry,
        datasets=DataService(ground.data),
        queue=OrchestratorQueue(ground.orchestrator),
        blobs=ground.blobs,
        fanout=ground.fanout,
    )


def _options(settings: Settings) -> TrainingOptions:
    return TrainingOptions(
        replica=settings.instance_id,
        live_runs=settings.live_runs,
        max_file_bytes=settings.max_model_file_bytes,
        silence_limit=timedelta(seconds=settings.trainer_silence_s),
        points_per_run=settings.points_per_run,
        points_kept=timedelta(days=settings.points_kept_days),
        rendezvous_port=settings.rendezvous_port,
    )
