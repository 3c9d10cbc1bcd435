"""The registry: who may be deleted, what is exported, and how versions compare."""

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from automesh.core.errors import ValidationError
from automesh.core.ids import new_id
from automesh.testing.blobs import FakeBlobStore
from services.model.domain.registry.comparison import check_count, compare
from services.model.domain.registry.errors import (
    FileNotInVersion,
    ModelHasAliases,
    ModelNameTaken,
    ModelNotFound,
    ModelTrains,
)
from services.model.domain.registry.measuring import Measurer
from services.model.domain.registry.model import ModelText, ServingOptions
from services.model.domain.registry.moves import NewMove
from services.model.domain.registry.ports import ModelQuery
from services.model.domain.registry.promotion import Promotion
from services.model.domain.registry.registry import READ_CHUNK, Registry
from services.model.domain.registry.version import ModelFile, ModelVersion, NewVersion
from services.model.fakes.model_store import FakeModelStore

TENANT = "acme"
DIGEST = "ab" * 32


class NoStatistics:
    """Nobody asks."""

    async def columns(self, tenant_id: str, data_id: str, version: int) -> dict[str, Any]:
        raise AssertionError("nobody asks for statistics here")


class House:
    """A registry over fakes."""

    def __init__(self) -> None:
        self.store, self.blobs = FakeModelStore(lambda: datetime(2026, 1, 1, tzinfo=UTC)), FakeBlobStore()
        promotion = Promotion(self.store, self.store, Measurer(None, NoStatistics()), make_id=new_id)
        self.registry = Registry(self.store, self.blobs, promotion, make_id=new_id)

    async def open(self, name: str = "prices", model_id: str = "") -> str:
        return await self.registry.open_model(
            TENANT, model_id=model_id, name=name, description="d", created_by="user_1"
        )

    async def add(self, model_id: str, run_id: str = "", aliases: tuple[str, ...] = (), **fields: Any) -> int:
        return await self.registry.add_version(
            TENANT, model_id, run_id or new_id("run"), new(**fields), aliases=aliases
        )


def new(**fields: Any) -> NewVersion:
    plain: dict[str, Any] = {
        "metrics": {},
        "signature": {},
        "size": 1,
        "parameters": 1,
        "digest": DIGEST,
        "files": (),
        "spec": {},
    }
    return NewVersion(**(plain | fields))


def version(**fields: Any) -> ModelVersion:
    return ModelVersion(
        tenant_id=TENANT,
        model_id="model_1",
        version=1,
        run_id="run_1",
        content=new(**fields),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture
def house() -> House:
    return House()


async def test_a_model_is_opened_by_its_id_or_made(house: House) -> None:
    model_id = await house.open()
    assert await house.open(name="ignored", model_id=model_id) == model_id
    with pytest.raises(ModelNotFound):
        await house.open(model_id="model_other")
    await house.add(model_id)
    with pytest.raises(ModelNameTaken, match=model_id):
        await house.open()


@pytest.mark.parametrize(
    "name", ["", " x", "x ", "a\nb", "x" * 201, "a\u0000b", ".", "..", "model_01m8bt1eas95yjym15jh7jb"]
)
async def test_a_name_that_is_none_is_refused(house: House, name: str) -> None:
    with pytest.raises(ValidationError):
        await house.open(name=name)


async def test_aliases_that_a_version_brings_move_at_once(house: House) -> None:
    model_id = await house.open()
    assert await house.add(model_id, "run_1", ("champion",)) == 1
    assert await house.add(model_id, "run_1", ("champion",)) == 1
    assert (await house.registry.get(TENANT, model_id)).aliases == {"champion": 1}
    with pytest.raises(ValidationError):
        await house.add(model_id, "run_2", ("Not an alias",))


async def test_a_model_that_trains_is_not_deleted_even_by_force(house: House) -> None:
    model_id = await house.open()
    house.store.live.add(model_id)
    with pytest.raises(ModelTrains):
        await house.registry.delete(TENANT, model_id, force=True, reason="away with it")


async def test_a_model_with_aliases_is_deleted_only_by_force_and_with_a_reason(house: House) -> None:
    model_id = await house.open()
    await house.add(model_id, "run_1")
    await house.store.move(TENANT, model_id, NewMove(move_id="m", alias="champion", version=1, moved_by="u"))
    with pytest.raises(ModelHasAliases, match=r"champion \(version 1\)"):
        await house.registry.delete(TENANT, model_id, force=False, reason="")
    with pytest.raises(ValidationError, match="reason"):
        await house.registry.delete(TENANT, model_id, force=True, reason="  ")
    await house.registry.delete(TENANT, model_id, force=True, reason="replaced")
    assert house.store.discarded == [f"runs/{TENANT}/run_1/"]
    assert house.store.released == [(TENANT, model_id)]


async def test_a_file_is_exported_in_chunks_by_its_name(house: House) -> None:
    content = bytes(range(256)) * 2000

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    await house.blobs.put("runs/acme/run_1/model/model.onnx", chunks())
    file = ModelFile(
        name="model.onnx",
        content_type="application/octet-stream",
        size=len(content),
        sha256=DIGEST,
        blob="runs/acme/run_1/model/model.onnx",
    )
    model_id = await house.open()
    await house.add(model_id, files=(file,))
    found, parts = await house.registry.export(TENANT, model_id, 0, "model.onnx")
    got = [part async for part in parts]
    assert (found, b"".join(got), max(map(len, got))) == (file, content, READ_CHUNK)
    with pytest.raises(FileNotInVersion, match=r"it has model\.onnx"):
        await house.registry.export(TENANT, model_id, 1, "../model.onnx")


async def test_lists_say_whether_more_follows(house: House) -> None:
    model_ids = [await house.open(f"m{number}") for number in range(3)]
    page, last = await house.registry.list(TENANT, ModelQuery(limit=2))
    assert (len(page), last) == (2, page[-1])
    page, last = await house.registry.list(TENANT, ModelQuery(limit=3))
    assert (len(page), last) == (3, None)
    await house.add(model_ids[0])
    versions, more = await house.registry.versions(TENANT, model_ids[0], limit=1, before=None)
    assert (len(versions), more) == (1, None)


@pytest.mark.parametrize(
    "options",
    [
        {"max_batch_size": -1},
        {"max_batch_size": 5000},
        {"max_delay_us": -1},
        {"max_delay_us": 2_000_000},
        {"max_queue": -1},
    ],
)
def test_serving_options_are_bounded(options: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        ServingOptions(**options)


@pytest.mark.parametrize(
    "text",
    [
        {"description": "x" * 4097},
        {"tags": {"": "x"}},
        {"tags": {"k": "x" * 101}},
        {"tags": {f"k{number}": "" for number in range(65)}},
        {"tags": {"k": "\u0000"}},
    ],
)
def test_texts_are_bounded(text: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelText(name="x", **text)


# ---------------------------------------------------------------------- side by side
def test_versions_are_compared_by_all_metrics_and_by_the_parameters_that_differ() -> None:
    first = version(
        metrics={"val/loss": 0.1, "val/mae": 0.2},
        spec={"seed": "1", "optimization": {"epochs": 3, "schedule": "cosine"}, "tags": {}},
    )
    second = version(
        metrics={"val/loss": 0.3},
        spec={"seed": "1", "optimization": {"epochs": 5, "schedule": "cosine"}, "aliases": ["a"], "tags": {}},
    )
    found = compare([first, second])
    assert [row.name for row in found.metrics] == ["val/loss", "val/mae"]
    assert found.metrics[0].values == (0.1, 0.3)
    assert math.isnan(found.metrics[1].values[1])
    assert [(row.name, row.values) for row in found.parameters] == [
        ("aliases", ("null", '["a"]')),
        ("optimization.epochs", ("3", "5")),
    ]


@pytest.mark.parametrize("count", [0, 1, 21])
def test_so_many_versions_cannot_be_compared(count: int) -> None:
    with pytest.raises(ValidationError):
        check_count(count)
