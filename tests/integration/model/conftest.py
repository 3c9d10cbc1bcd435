"""Fixtures of the model service's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automesh.testing.postgres import PostgresForTests
from tests.integration.model.training_stand import Replica, Stand


@pytest.fixture
async def stand(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Stand]:
    async with postgres.fresh({"model": "services.model.migrations"}) as dsn:
        yield Stand(dsn, tmp_path)


@pytest.fixture
async def replica(stand: Stand) -> AsyncIterator[Replica]:
    async with stand.replica() as replica:
        yield replica
