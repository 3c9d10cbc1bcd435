"""Wires the orchestrator: database, blobs, fan-out, engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from automesh.mesh.process import Mesh
from automesh.mesh.server import Bound
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import Fanout, LocalFanout
from automesh.storage.migrations import migrate
from automesh.storage.postgres import Database
from automesh.storage.redis import RedisFanout
from automesh.storage.sealing import Keyring, Sealer
from services.orchestrator.engine import Engine, Options
from services.orchestrator.loops.farewell import farewell
from services.orchestrator.settings import Settings

SCHEMA = "orchestrator"
MIGRATIONS = "services.orchestrator.migrations"


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
    """See automesh.mesh.process.run."""
    keyring = Keyring.from_file(settings.keyring_file)
    blobs = EncryptedBlobStore.open(settings.blobs_url or settings.state_dir / "blobs", Sealer(keyring))
    dsn = settings.postgres_dsn.get_secret_value()
    async with Database.open(dsn, schema=SCHEMA, max_size=settings.database_connections) as database:
        await migrate(database, MIGRATIONS)
        async with _fanout(settings.redis_url.get_secret_value()) as fanout:
            engine = Engine(database, keyring, blobs, fanout, _options(settings))
            async with engine.open() as bounds:
                mesh.spawn(farewell(mesh.stopping, engine.desk, engine.sessions, engine.hub), "farewell")
                yield bounds


def _options(settings: Settings) -> Options:
    return Options(
        replica=settings.instance_id,
        terms=settings.terms(),
        queue_limit=settings.queue_limit,
        max_artifact_bytes=settings.max_artifact_bytes,
    )


@asynccontextmanager
async def _fanout(redis_url: str) -> AsyncIterator[Fanout]:
    if not redis_url:
        yield LocalFanout()
        return
    async with RedisFanout.open(redis_url) as fanout:
        yield fanout
