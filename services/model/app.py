"""Wires the model service: the ground it stands on, then its parts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from automesh.core.ids import new_id
from automesh.mesh.process import Mesh
from automesh.mesh.server import Bound
from services.model.clients.data import DataService
from services.model.clients.orchestrator import OrchestratorQueue
from services.model.domain.measuring import Measurer
from services.model.domain.promotion import Promotion
from services.model.domain.registry import Registry
from services.model.engine.ground import Ground, open_ground
from services.model.engine.serving import open_serving
from services.model.engine.training import Neighbours, TrainingEngine, TrainingOptions
from services.model.loops.farewell import farewell
from services.model.settings import Settings
from services.model.store.alias_requests import SqlAliasRequests
from services.model.store.versions import SqlModelStore


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
    """See automesh.mesh.process.run."""
    async with open_ground(settings, mesh) as ground:
        store = SqlModelStore(ground.database)
        async with open_serving(settings, store, ground.blobs) as serving:
            keeper = Measurer(serving.latency, DataService(ground.data))
            promotion = Promotion(store, SqlAliasRequests(ground.database), keeper, make_id=new_id)
            registry = Registry(store, ground.blobs, promotion, make_id=new_id)
            training = TrainingEngine(ground.database, _neighbours(ground, registry), _options(settings))
            async with training.open() as bounds:
                mesh.spawn(farewell(mesh.stopping, training.hub), "farewell")
                yield [*bounds, *serving.bounds]


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
