"""Fixtures of the tests of runs."""

import pytest

from automesh.testing.blobs import FakeBlobStore
from services.model.fakes.training_house import TrainingHouse


@pytest.fixture
def blobs() -> FakeBlobStore:
    return FakeBlobStore()


@pytest.fixture
def house(blobs: FakeBlobStore) -> TrainingHouse:
    return TrainingHouse(blobs)
