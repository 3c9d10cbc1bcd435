"""A doc service for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automesh.local.redis import EmbeddedRedis
from automesh.testing.postgres import PostgresForTests
from tests.integration.doc.doc_house import Served, doc_service
from tests.integration.doc.doc_house_core import doc_core
from tests.integration.doc.doc_house_sites import Stores


@pytest.fixture
async def doc(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Served]:
    async with doc_service(postgres, tmp_path) as served:
        yield served


@pytest.fixture
async def handbook(doc: Served) -> Served:
    """With the space "handbook"."""
    await doc.space()
    return doc


@pytest.fixture
async def stores(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Stores]:
    async with doc_core(postgres, tmp_path) as core:
        yield Stores(core)


@pytest.fixture
async def redis_server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "redis", tmp_path / "run")
    await server.start()
    yield server
    await server.stop()
