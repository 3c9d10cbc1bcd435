"""A doc service for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automesh.testing.postgres import PostgresForTests
from tests.integration.doc.doc_house import Served, doc_service


@pytest.fixture
async def doc(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Served]:
    async with doc_service(postgres, tmp_path) as served:
        yield served


@pytest.fixture
async def handbook(doc: Served) -> Served:
    """With the space "handbook"."""
    await doc.space()
    return doc
