"""Wires the data service: database, blobs, orchestrator, URLs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from automesh.mesh.process import Mesh
from automesh.mesh.server import Bound
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.migrations import migrate
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from services.data.clients.converter import ProgramConverter
from services.data.clients.tasks import OrchestratorTasks
from services.data.clients.urls import allowed_urls
from services.data.engine import DataEngine, Options, Outside
from services.data.settings import Settings

SCHEMA = "data"
MIGRATIONS = "services.data.migrations"
ORCHESTRATOR = "orchestrator"


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
    """See automesh.mesh.process.run."""
    sealer = Sealer(Keyring.from_file(settings.keyring_file))
    blobs = EncryptedBlobStore.open(settings.blobs_url or settings.state_dir / "blobs", sealer)
    dsn = settings.postgres_dsn.get_secret_value()
    async with (
        Database.open(dsn, schema=SCHEMA, max_size=settings.database_connections) as database,
        allowed_urls(
            settings.data_url_allow_list,
            limit_s=settings.data_url_timeout_s,
            max_bytes=settings.data_max_upload_bytes,
            ca_file=settings.data_url_ca_file,
        ) as urls,
    ):
        await migrate(database, MIGRATIONS)
        outside = Outside(
            blobs=blobs,
            tasks=OrchestratorTasks(
                mesh.channel(ORCHESTRATOR), timeout=timedelta(seconds=settings.data_task_timeout_s)
            ),
            urls=urls,
            converter=ProgramConverter(
                settings.state_dir / "scratch" / "data",
                at_once=settings.data_conversions,
                limit_s=settings.data_conversion_timeout_s,
            ),
        )
        async with DataEngine(database, sealer, outside, _options(settings)).open() as bounds:
            yield bounds


def _options(settings: Settings) -> Options:
    return Options(
        engine=settings.engine(),
        limits=settings.limits(),
        max_upload_bytes=settings.data_max_upload_bytes,
        max_file_bytes=settings.data_max_file_bytes,
        quota=settings.data_max_tenant_bytes,
        keep_uploads=settings.upload_ttl(),
        quiet_for=timedelta(seconds=settings.data_follow_after_s),
    )
