"""What every part of the model service stands on: opened once, closed last."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from automesh.mesh.process import Mesh
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import Fanout, LocalFanout
from automesh.storage.migrations import migrate
from automesh.storage.postgres import Database
from automesh.storage.redis import RedisFanout
from automesh.storage.sealing import Keyring, Sealer
from services.model.settings import Settings

SCHEMA = "model"
MIGRATIONS = "services.model.migrations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Database, blobs, fan-out and neighbours of one replica."""

    settings: Settings
    database: Database
    sealer: Sealer
    blobs: EncryptedBlobStore
    fanout: Fanout
    orchestrator: grpc.aio.Channel
    data: grpc.aio.Channel


@asynccontextmanager
async def open_ground(settings: Settings, mesh: Mesh) -> AsyncGenerator[Ground]:
    """Connects, migrates, and closes at the end."""
    sealer = Sealer(Keyring.from_file(settings.keyring_file))
    blobs = EncryptedBlobStore.open(settings.blobs_url or settings.state_dir / "blobs", sealer)
    dsn = settings.postgres_dsn.get_secret_value()
    async with Database.open(dsn, schema=SCHEMA, max_size=settings.database_connections) as database:
        await migrate(database, MIGRATIONS)
        async with _fanout(settings.redis_url.get_secret_value()) as fanout:
            yield Ground(
                settings=settings,
                database=database,
                sealer=sealer,
                blobs=blobs,
                fanout=fanout,
                orchestrator=mesh.channel("orchestrator"),
                data=mesh.channel("data"),
            )


@asynccontextmanager
async def _fanout(redis_url: str) -> AsyncIterator[Fanout]:
    if not redis_url:
        yield LocalFanout()
        return
    async with RedisFanout.open(redis_url) as fanout:
        yield fanout
