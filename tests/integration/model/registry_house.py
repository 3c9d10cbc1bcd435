"""A registry of this process over mutual TLS, on a real PostgreSQL and real blobs; its neighbours are stand-ins."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automesh.core.errors import Unavailable
from automesh.core.ids import new_id
from automesh.core.webhooks import Sender
from automesh.model.v1 import model_service_pb2_grpc, webhook_service_pb2_grpc
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.changes import Changes
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from services.model.domain.registry.drift import ColumnShape
from services.model.domain.registry.version import ModelFile, NewVersion
from services.model.engine.registry import RegistryEngine, RegistryNeighbours, RegistryOptions
from services.model.fakes.webhook_store import FakeSender
from services.model.store.versions import SqlModelStore

PEOPLE = (
    "model.read",
    "model.write",
    "model.promote",
    "model.predict",
    "model.delete",
    "webhook.read",
    "webhook.write",
)
TENANT = "default"


@dataclass
class Prediction:
    """What came out."""

    outputs: Sequence[Any]
    labels: Sequence[str]
    version: int


@dataclass
class Neighbours:
    """Serving and the data service, as a test wants them."""

    p99: float = 2.0
    columns_of: dict[tuple[str, int], Mapping[str, ColumnShape]] = field(default_factory=dict)
    released: list[tuple[str, str]] = field(default_factory=list)
    heard: Changes = field(default_factory=Changes)
    away: bool = False
    asked: list[tuple[str, str, str, Any]] = field(default_factory=list)
    prediction: Prediction = field(default_factory=lambda: Prediction([[0.5]], [], 1))

    async def p99_ms(self, tenant_id: str, model_id: str, version: int) -> float:
        return self.p99

    async def columns(self, tenant_id: str, data_id: str, version: int) -> Mapping[str, ColumnShape]:
        return self.columns_of[data_id, version]

    async def release(self, tenant_id: str, model_id: str) -> None:
        if self.away:
            raise Unavailable("the data service is away")
        self.released.append((tenant_id, model_id))
        self.heard()

    async def predict(self, tenant_id: str, model: str, version: str, instances: Sequence[Sequence[Any]]) -> Prediction:
        self.asked.append((tenant_id, model, version, instances))
        return self.prediction


class RegistryHouse:
    """What a test holds in its hands."""

    def __init__(
        self,
        database: Database,
        blobs: EncryptedBlobStore,
        engine: RegistryEngine,
        mesh: InProcessMesh,
        around: Neighbours,
    ) -> None:
        self.database, self.blobs, self.engine, self.mesh, self.around = database, blobs, engine, mesh, around

    async def models(
        self, tenant_id: str = TENANT, permissions: Sequence[str] = PEOPLE
    ) -> model_service_pb2_grpc.ModelServiceAsyncStub:
        channel = await self.mesh.signed_in(permissions, tenant_id=tenant_id, subject="user_ann")
        return model_service_pb2_grpc.ModelServiceStub(channel)

    async def webhooks(self, tenant_id: str = TENANT) -> webhook_service_pb2_grpc.WebhookServiceAsyncStub:
        channel = await self.mesh.signed_in(PEOPLE, tenant_id=tenant_id, subject="user_ann")
        return webhook_service_pb2_grpc.WebhookServiceStub(channel)

    async def trained(
        self, name: str = "prices", model_id: str = "", files: Mapping[str, bytes] | None = None, **fields: Any
    ) -> str:
        """A version as a run leaves it; returns the model's id."""
        registry, run_id = self.engine.registry, new_id("run")
        model_id = await registry.open_model(
            TENANT, model_id=model_id, name=name, description="", created_by="user_ann"
        )
        stored = [await self._stored(run_id, *file) for file in (files or {}).items()]
        plain: dict[str, Any] = {
            "metrics": {"val/loss": 0.25},
            "signature": {
                "features": ["a"],
                "inputs": [{"name": "input", "datatype": "FP32", "shape": ["-1", "3", "1"]}],
            },
            "size": 10,
            "parameters": 3,
            "digest": "ab" * 32,
            "files": tuple(stored),
            "spec": {"name": name, "optimization": {"epochs": 3}, "seed": "7"},
            "card": {"data": {"digest": "cd"}, "about": "a wave"},
            "data_id": "data_1",
            "data_version": 1,
            "created_by": "user_ann",
        }
        await registry.add_version(TENANT, model_id, run_id, NewVersion(**(plain | fields)))
        return model_id

    async def backdate(self, seconds: float) -> None:
        """Makes waits of deliveries shorter by so much."""
        shift = "UPDATE delivery SET next_at = next_at - make_interval(secs => $1)"
        await self.database.execute(shift, seconds, tenant=ENGINE)

    async def _stored(self, run_id: str, name: str, content: bytes) -> ModelFile:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        blob = f"runs/{TENANT}/{run_id}/model/{name}"
        info = await self.blobs.put(blob, chunks())
        return ModelFile(
            name=name, content_type="application/octet-stream", size=info.size, sha256=info.sha256, blob=blob
        )


@asynccontextmanager
async def registry_house(
    dsn: str, folder: Path, *, keyring: Keyring | None = None, sender: Sender | None = None
) -> AsyncGenerator[RegistryHouse]:
    """One replica; more on the same database get the same keyring."""
    sealer, around = Sealer(keyring or Keyring.generate()), Neighbours()
    blobs = EncryptedBlobStore.open(folder / "blobs", sealer)
    async with Database.open(dsn, schema="model") as database:
        neighbours = RegistryNeighbours(
            blobs=blobs,
            latency=around,
            predictor=around,
            statistics=around,
            datasets=around,
            sender=sender or FakeSender(),
        )
        store = SqlModelStore(database)
        options = RegistryOptions(upkeep_s=0.05, poll_s=0.02)
        engine = RegistryEngine(database, sealer, store, neighbours, options)
        async with engine.open() as bounds, in_process_mesh("model", bounds) as mesh:
            yield RegistryHouse(database, blobs, engine, mesh, around)
