"""The cache of datasets: asked before, fetched once, trimmed, never under somebody's feet."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from automesh.core.errors import NotFound
from automesh.sdk import RetryableError
from services.agent.clients.dataset_cache import ABANDONED_AFTER_S, DatasetCache

LIMIT_S = 10


class FakeReader:
    """Versions of 100 bytes, named by their dataset."""

    def __init__(self) -> None:
        self.read_ids: list[str] = []
        self.forbidden: set[str] = set()
        self.changes = False
        self.fails: Exception | None = None

    async def manifest(self, lease_token: bytes, data_id: str, version: int) -> bytes:
        if data_id in self.forbidden:
            raise NotFound(f"there is no dataset {data_id}")
        return data_id.encode()

    async def read(self, lease_token: bytes, data_id: str, version: int, folder: Path) -> None:
        self.read_ids.append(data_id)
        await asyncio.sleep(0)  # others may come meanwhile
        if self.fails:
            raise self.fails
        (folder / "train.parquet").write_bytes(b"x" * (100 - len(data_id)))
        (folder / "manifest.json").write_bytes(data_id.encode() + (b"!" if self.changes else b""))


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def cache(tmp_path: Path, reader: FakeReader) -> DatasetCache:
    return DatasetCache(tmp_path / "cache", reader, max_bytes=250)


async def used(cache: DatasetCache, *data_ids: str) -> None:
    for data_id in data_ids:
        async with cache.version(b"lease", data_id, 1) as folder:
            assert (folder / "manifest.json").read_text() == data_id
        os.utime(folder, (1, int(data_id.removeprefix("d"))))  # as old as its number says


async def test_the_least_recently_used_leaves_first(cache: DatasetCache, reader: FakeReader) -> None:
    await used(cache, "d1", "d2", "d3")
    await used(cache, "d3", "d2", "d1")
    assert reader.read_ids == ["d1", "d2", "d3", "d1"]


async def test_what_is_in_use_stays_whatever_the_limit(cache: DatasetCache, reader: FakeReader) -> None:
    async with cache.version(b"lease", "d0", 1) as folder:
        os.utime(folder, (1, 1))
        await used(cache, "d1", "d2", "d3")
        assert (folder / "train.parquet").exists()
    await used(cache, "d0")
    assert reader.read_ids.count("d0") == 1


async def test_those_who_come_at_once_wait_for_one_fetch(cache: DatasetCache, reader: FakeReader) -> None:
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(used(cache, "d1") for _ in range(5)))
    assert reader.read_ids == ["d1"]


async def test_agents_of_a_machine_share_what_they_fetched(cache: DatasetCache, tmp_path: Path) -> None:
    other = FakeReader()
    await used(cache, "d1")
    await used(DatasetCache(tmp_path / "cache", other, max_bytes=250), "d1")
    assert other.read_ids == []


async def test_a_kept_dataset_is_not_shown_to_who_may_not_read_it(cache: DatasetCache, reader: FakeReader) -> None:
    await used(cache, "d1")
    reader.forbidden.add("d1")
    with pytest.raises(NotFound):
        await used(cache, "d1")


async def test_a_failed_fetch_leaves_nothing(cache: DatasetCache, reader: FakeReader, tmp_path: Path) -> None:
    reader.changes = True
    with pytest.raises(RetryableError, match="got another version"):
        await used(cache, "d1")
    reader.changes, reader.fails = False, OSError(28, "No space left on device")
    with pytest.raises(RetryableError, match="No space left"):
        await used(cache, "d1")
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


async def test_what_a_killed_agent_had_not_finished_is_removed(cache: DatasetCache, tmp_path: Path) -> None:
    old, young = tmp_path / "cache" / "partial-old", tmp_path / "cache" / "partial-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (1, time.time() - ABANDONED_AFTER_S - 1))
    await used(cache, "d1")
    assert (old.exists(), young.exists()) == (False, True)
