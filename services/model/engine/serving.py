"""Wires serving: the versions in memory, and everything that asks them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from automesh.core.clock import utc_now
from automesh.mesh.server import Bound
from automesh.model.v1 import inference_service_pb2, inference_service_pb2_grpc
from services.model.domain.registry.ports import Blobs, ModelStore
from services.model.serving import grpc_service
from services.model.serving.http_service import HttpInferenceServicer
from services.model.serving.latency import BackendLatencyProbe
from services.model.serving.loading import FileLoader
from services.model.serving.model_pool import ModelPool, PoolLimits
from services.model.serving.predictor import PoolPredictor
from services.model.serving.source import RegistrySource
from services.model.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What others need of serving."""

    bounds: Sequence[Bound]
    predictor: PoolPredictor
    latency: BackendLatencyProbe


@asynccontextmanager
async def open_serving(settings: Settings, store: ModelStore, blobs: Blobs) -> AsyncIterator[Serving]:
    """Predictions are computed in threads of this process, one for each CPU unless told otherwise."""
    source = RegistrySource(store, blobs)
    limits = PoolLimits(max_loaded=settings.serving_max_models, max_bytes=settings.serving_max_bytes)
    with ThreadPoolExecutor(settings.serving_threads or os.cpu_count() or 1, "predict") as executor:
        loader = FileLoader(source, executor, settings.serving_device)
        pool = ModelPool(source, loader, executor, limits, now=utc_now)
        http = Bound(
            inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"],
            inference_service_pb2_grpc.add_InferenceServiceServicer_to_server,
            HttpInferenceServicer(pool, source, settings.version),
        )
        grpc_form = grpc_service.bound(grpc_service.GrpcInferenceServicer(pool, source, settings.version))
        try:
            yield Serving(
                bounds=[grpc_form, http],
                predictor=PoolPredictor(pool),
                latency=BackendLatencyProbe(source, loader, executor),
            )
        finally:
            await pool.close()
