"""Which engine carries pipelines out is a setting, and stands in job.json."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from services.data.domain.job import JobWriter
from services.data.domain.version import Origin, Recipe
from services.data.settings import Settings

NEEDED = {
    "AUTOMESH_POSTGRES_DSN": "postgresql://localhost/none",
    "AUTOMESH_KEYRING_FILE": "/nowhere/keys",
    "AUTOMESH_IDENTITY_DIR": "/nowhere/identity",
    "AUTOMESH_STATE_DIR": "/nowhere/state",
}


def job(monkeypatch: pytest.MonkeyPatch, **told: str) -> Any:
    for name, value in {**NEEDED, **told}.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    recipe = Recipe(source={"generator": {}}, pipeline={}, origin=Origin("generator", "sine"), references=())
    version: Any = SimpleNamespace(recipe=recipe, tenant_id="t", made=datetime.now(UTC))
    none: Any = None
    return asyncio.run(JobWriter(none, none, engine=settings.engine(), limits=settings.limits()).job(version)).told


def test_polars_is_the_engine_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    told = job(monkeypatch)
    assert (told["engine"], told["ray_address"]) == ("polars", "")


def test_ray_and_its_address_reach_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    told = job(monkeypatch, AUTOMESH_DATA_ENGINE="ray", AUTOMESH_RAY_ADDRESS="ray://head:10001")
    assert (told["engine"], told["ray_address"]) == ("ray", "ray://head:10001")


def test_other_engines_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="data_engine"):
        job(monkeypatch, AUTOMESH_DATA_ENGINE="spark")
