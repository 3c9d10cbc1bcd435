"""A whole orchestrator of this process, over mutual TLS, on a real PostgreSQL; its times are short."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.mesh import in_process_mesh
from automesh.testing.postgres import PostgresForTests
from automesh.testing.wire import OrchestratorOnWire
from services.orchestrator.domain.lease import Terms
from services.orchestrator.engine import Engine, Options

TERMS = Terms(lease_ttl=timedelta(seconds=1.5), heartbeat=timedelta(seconds=0.3), offer_for=timedelta(seconds=0.6))


@pytest.fixture
def keyring() -> Keyring:
    return Keyring.generate()


@pytest.fixture
def fanout() -> LocalFanout:
    return LocalFanout()


@pytest.fixture
async def dsn(postgres: PostgresForTests) -> AsyncIterator[str]:
    async with postgres.fresh({"orchestrator": "services.orchestrator.migrations"}) as dsn:
        yield dsn


@asynccontextmanager
async def replica(
    name: str, dsn: str, keyring: Keyring, fanout: LocalFanout, folder: Path
) -> AsyncIterator[tuple[Engine, OrchestratorOnWire]]:
    blobs = EncryptedBlobStore.open(folder, Sealer(keyring))
    options = Options(
        replica=name, terms=TERMS, queue_limit=20, max_artifact_bytes=4 * 1024 * 1024, registry=CollectorRegistry()
    )
    async with Database.open(dsn, schema="orchestrator") as database:
        engine = Engine(database, keyring, blobs, fanout, options)
        async with engine.open() as bounds, in_process_mesh("orchestrator", bounds) as mesh:
            yield engine, OrchestratorOnWire(mesh)


@pytest.fixture
async def first(
    dsn: str, keyring: Keyring, fanout: LocalFanout, tmp_path: Path
) -> AsyncIterator[tuple[Engine, OrchestratorOnWire]]:
    async with replica("first", dsn, keyring, fanout, tmp_path) as served:
        yield served


@pytest.fixture
def engine(first: tuple[Engine, OrchestratorOnWire]) -> Engine:
    return first[0]


@pytest.fixture
def served(first: tuple[Engine, OrchestratorOnWire]) -> OrchestratorOnWire:
    return first[1]


@pytest.fixture
async def second(
    first: object, dsn: str, keyring: Keyring, fanout: LocalFanout, tmp_path: Path
) -> AsyncIterator[OrchestratorOnWire]:
    """Another replica on the same database, which hears the first one's signals."""
    async with replica("second", dsn, keyring, fanout, tmp_path) as (_, served):
        yield served
