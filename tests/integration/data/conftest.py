"""A data service for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automesh.testing.postgres import PostgresForTests
from tests.integration.data.data_house import Served, data_service


@pytest.fixture
async def served(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Served]:
    async with data_service(postgres, tmp_path) as served:
        yield served
