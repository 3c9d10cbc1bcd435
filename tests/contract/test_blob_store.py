"""What every BlobStore does: the encrypted one on a folder and on an object store, and the fake."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automesh.core.errors import NotFound, ValidationError
from automesh.storage.blobs import BlobNotFound, BlobStore, EncryptedBlobStore
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.blobs import FakeBlobStore

LIMIT_S = 20
MIB = 1024 * 1024


@pytest.fixture(params=["folder", "memory", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    sealer = Sealer(Keyring.generate())
    if request.param == "fake":
        return FakeBlobStore()
    return EncryptedBlobStore.open(tmp_path / "blobs" if request.param == "folder" else "memory:///", sealer)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(store: BlobStore, name: str) -> bytes:
    return b"".join([chunk async for chunk in store.get(name)])


async def names(store: BlobStore, prefix: str = "") -> set[str]:
    return {entry.name async for entry in store.list(prefix)}


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 12 * MIB + 5])
async def test_what_was_put_comes_back(store: BlobStore, size: int) -> None:
    content = os.urandom(size)
    pieces = [content[start : start + 700_001] for start in range(0, size, 700_001)]
    info = await store.put("a/b", chunks(*pieces))
    assert (info.size, info.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert await read(store, "a/b") == content


async def test_chunks_that_come_out_are_never_big(store: BlobStore) -> None:
    await store.put("a", chunks(bytes(5 * MIB)))
    assert max([len(chunk) async for chunk in store.get("a")]) <= MIB


async def test_a_blob_that_is_not_there_is_not_found(store: BlobStore) -> None:
    with pytest.raises(BlobNotFound, match="no blob a/b") as raised:
        await read(store, "a/b")
    assert isinstance(raised.value, NotFound)


async def test_putting_again_replaces(store: BlobStore) -> None:
    await store.put("a", chunks(b"a longer first one"))
    await store.put("a", chunks(b"second"))
    assert await read(store, "a") == b"second"


async def test_a_deleted_blob_is_gone_and_deleting_it_again_is_no_error(store: BlobStore) -> None:
    await store.put("a", chunks(b"x"))
    await store.delete("a")
    await store.delete("a")
    assert await names(store) == set()
    with pytest.raises(BlobNotFound):
        await read(store, "a")


async def test_a_list_holds_what_is_below_its_folder(store: BlobStore) -> None:
    for name in ("x/1", "x/2", "xy/3", "x/deep/4"):
        await store.put(name, chunks(b"."))
    assert await names(store, "x") == {"x/1", "x/2", "x/deep/4"}
    assert await names(store) == {"x/1", "x/2", "xy/3", "x/deep/4"}
    assert await names(store, "nothing") == set()


async def test_a_list_is_whole_when_it_is_long(store: BlobStore) -> None:
    expected = {f"many/{number}" for number in range(120)}
    for name in expected:
        await store.put(name, chunks(b""))
    assert await names(store, "many") == expected


async def test_an_entry_of_a_list_says_how_big_and_how_old(store: BlobStore) -> None:
    await store.put("a", chunks(bytes(1000)))
    [entry] = [entry async for entry in store.list()]
    assert entry.stored_bytes >= 1000
    assert entry.modified_at.tzinfo is not None


async def failing(after: bytes) -> AsyncIterator[bytes]:
    yield after
    raise KeyError("the source broke")


@pytest.mark.parametrize("size", [10, 11 * MIB])
async def test_a_source_that_breaks_leaves_nothing_and_its_error_is_seen(store: BlobStore, size: int) -> None:
    with pytest.raises(KeyError, match="the source broke"):
        await store.put("a", failing(bytes(size)))
    assert await names(store) == set()


async def test_a_source_that_breaks_leaves_the_old_blob(store: BlobStore) -> None:
    await store.put("a", chunks(b"old"))
    with pytest.raises(KeyError):
        await store.put("a", failing(bytes(11 * MIB)))
    assert await read(store, "a") == b"old"


async def test_a_cancelled_put_leaves_nothing(store: BlobStore) -> None:
    waiting = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(11 * MIB)
        waiting.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(store.put("a", endless()))
    await asyncio.wait_for(waiting.wait(), LIMIT_S)
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    assert putting.cancelled()
    assert await names(store) == set()


BAD_NAMES = [
    "",
    "/a",
    "a/",
    "a//b",
    "..",
    "a/../b",
    "./a",
    ".hidden",
    "a/.b",
    "a\0b",
    "a b",
    "ä",
    "a#1",
    "a\\b",
    "a.",
    "x" * 129,
]


@pytest.mark.parametrize("name", [*BAD_NAMES, "/".join("a" * 17), "a/b.", "a\n"])
async def test_a_name_that_is_no_plain_path_is_refused(store: BlobStore, name: str) -> None:
    with pytest.raises(ValidationError, match="not a blob name"):
        await store.put(name, chunks(b"x"))
    with pytest.raises(ValidationError, match="not a blob name"):
        await read(store, name)
    with pytest.raises(ValidationError, match="not a blob name"):
        await store.delete(name)


@pytest.mark.parametrize("name", ["a", "A-b_c=d.e", "task_01jd5x0v9k7q2m4n6p8r0t1v3/out.tar.gz", "/".join("a" * 16)])
async def test_plain_paths_are_names(store: BlobStore, name: str) -> None:
    await store.put(name, chunks(b"x"))
    assert await names(store) == {name}
