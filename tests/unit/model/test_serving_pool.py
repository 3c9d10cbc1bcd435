"""Versions come into memory once, swap without a gap, and leave when nobody asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from automesh.core.clock import utc_now
from automesh.core.errors import NotFound, Unavailable
from services.model.domain.serving.versions import ServedVersion, TensorSpec
from services.model.serving.backends import Backend
from services.model.serving.model_pool import ModelPool, ModelTakenOut, PoolLimits

LIMIT_S = 10


class Adding:
    """A backend that adds its version."""

    def __init__(self, version: int) -> None:
        self._version = version

    def run(self, rows: np.ndarray) -> np.ndarray:
        return rows + self._version


class Registry:
    """A source whose alias moves, and a loader that can be held up."""

    def __init__(self) -> None:
        self.current: dict[str, int] = {"m": 1}
        self.loads: list[tuple[str, int]] = []
        self.loading = asyncio.Event()
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.resolved = asyncio.Event()
        self.away = False

    async def resolve(self, tenant_id: str, model: str, version: str) -> ServedVersion:
        self.resolved.set()
        if self.away:
            raise Unavailable("the database is away")
        if model not in self.current:
            raise NotFound(f"no model {model}")
        number = int(version) if version else self.current[model]
        spec = TensorSpec(name="input", datatype="FP32", shape=(-1, 1))
        return ServedVersion(
            tenant_id=tenant_id,
            model_id=model,
            name=model,
            version=number,
            input=spec,
            output=replace(spec, name="output"),
        )

    async def fetch(self, version: ServedVersion, name: str) -> bytes:
        raise AssertionError("the loader of this test needs no file")

    async def listed(self, tenant_id: str, *, most: int) -> Sequence[ServedVersion]:
        return []

    async def versions(self, tenant_id: str, model_id: str, *, most: int) -> Sequence[int]:
        return []

    platform = "test"

    async def load(self, served: ServedVersion) -> tuple[Backend, int]:
        self.loads.append((served.model_id, served.version))
        self.loading.set()
        await self.may_load.wait()
        return Adding(served.version), 10


class Watch:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def clock() -> Watch:
    return Watch()


@pytest.fixture
async def pool(registry: Registry, clock: Watch) -> AsyncIterator[ModelPool]:
    with ThreadPoolExecutor(2) as executor:
        pool = ModelPool(
            registry, registry, executor, PoolLimits(max_loaded=2, refresh_s=1.0), now=utc_now, monotonic=clock
        )
        yield pool
        async with asyncio.timeout(LIMIT_S):
            await pool.close()


async def ask(pool: ModelPool, model: str = "m", version: str = "") -> tuple[int, float]:
    """The version that answers, and what it says to 0."""
    async with asyncio.timeout(LIMIT_S):
        served, outputs = await pool.infer("t", model, version, lambda _: np.zeros((1, 1), np.float32))
    return served.version, outputs.item()


async def test_many_first_requests_load_a_version_once(pool: ModelPool, registry: Registry) -> None:
    answers = await asyncio.gather(*(ask(pool) for _ in range(20)))
    assert set(answers) == {(1, 1.0)}
    assert registry.loads == [("m", 1)]


async def test_the_old_version_answers_until_the_new_one_is_warm(
    pool: ModelPool, registry: Registry, clock: Watch
) -> None:
    assert await ask(pool) == (1, 1.0)
    registry.current["m"] = 2
    registry.loading.clear()
    registry.may_load.clear()
    clock.at = 2.0
    assert await ask(pool) == (1, 1.0)  # this request notices that time has passed
    async with asyncio.timeout(LIMIT_S):
        await registry.loading.wait()
    assert await ask(pool) == (1, 1.0)  # the new one is being loaded
    registry.may_load.set()
    async with asyncio.timeout(LIMIT_S):
        while (await ask(pool))[0] == 1:  # noqa: ASYNC110 - nobody announces the swap; each turn is a request
            await asyncio.sleep(0)
    assert [loaded.served.version for loaded in pool.loaded] == [2]


async def test_a_version_that_does_not_load_leaves_the_old_one_in_place(
    pool: ModelPool, registry: Registry, clock: Watch
) -> None:
    await ask(pool)
    registry.away = True
    registry.resolved.clear()
    clock.at = 2.0
    assert await ask(pool) == (1, 1.0)
    async with asyncio.timeout(LIMIT_S):
        await registry.resolved.wait()
    assert await ask(pool) == (1, 1.0)


async def test_a_deleted_model_is_not_found_any_more(pool: ModelPool, registry: Registry, clock: Watch) -> None:
    await ask(pool)
    del registry.current["m"]
    clock.at = 2.0
    async with asyncio.timeout(LIMIT_S):
        while pool.loaded:
            with suppress(NotFound):
                await ask(pool)
    with pytest.raises(NotFound):
        await ask(pool)


async def test_a_model_that_was_deleted_while_nobody_asked_answers_no_more(
    pool: ModelPool, registry: Registry, clock: Watch
) -> None:
    await ask(pool)
    del registry.current["m"]
    clock.at = 60.0
    with pytest.raises(NotFound):
        await ask(pool)


async def test_after_a_time_without_requests_the_version_in_memory_goes_on_while_the_database_is_away(
    pool: ModelPool, registry: Registry, clock: Watch
) -> None:
    await ask(pool)
    registry.away = True
    clock.at = 60.0
    assert await ask(pool) == (1, 1.0)


async def test_tenants_never_share_what_is_loaded(pool: ModelPool) -> None:
    await pool.find("one", "m", "")
    await pool.find("two", "m", "")
    assert {loaded.served.tenant_id for loaded in pool.loaded} == {"one", "two"}


async def test_what_was_not_asked_for_longest_makes_room(pool: ModelPool, registry: Registry) -> None:
    registry.current.update(n=1, o=1)
    for model in ("m", "n", "m", "o"):
        await ask(pool, model)
    assert sorted(loaded.served.model_id for loaded in pool.loaded) == ["m", "o"]
    assert await ask(pool, "n") == (1, 1.0)  # it comes back when asked for


async def test_versions_can_be_asked_for_by_number(pool: ModelPool) -> None:
    assert await ask(pool, version="7") == (7, 7.0)


async def test_an_unloaded_model_refuses_until_it_is_loaded_again(pool: ModelPool) -> None:
    await ask(pool)
    await pool.unload("t", "m")
    assert not pool.loaded
    with pytest.raises(ModelTakenOut, match="load it first"):
        await ask(pool)
    await pool.load("t", "m")
    assert await ask(pool) == (1, 1.0)
