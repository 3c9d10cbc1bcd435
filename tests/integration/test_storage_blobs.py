"""Encrypted blobs on a real folder: what is on the disk, what harm is noticed, what a crash leaves."""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from automesh.core.errors import Unavailable, ValidationError
from automesh.storage.blobs import BlobNotFound, BlobStoreUnavailable, EncryptedBlobStore
from automesh.storage.sealing import Keyring, SealBroken, Sealer, UnknownKey

LIMIT_S = 30
MIB = 1024 * 1024
KEYRING = Keyring.generate()
PUT_AND_HANG = """
import asyncio, sys
from pathlib import Path
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.sealing import Keyring, Sealer

async def chunks():
    yield bytes(11 * 1024 * 1024)
    print("half", flush=True)
    await asyncio.Event().wait()

store = EncryptedBlobStore.open(Path(sys.argv[1]), Sealer(Keyring.generate()))
asyncio.run(store.put("a", chunks()))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def store(folder: Path) -> EncryptedBlobStore:
    return EncryptedBlobStore.open(folder, Sealer(KEYRING))


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(store: EncryptedBlobStore, name: str) -> bytes:
    return b"".join([chunk async for chunk in store.get(name)])


async def test_the_disk_holds_nothing_that_can_be_read(store: EncryptedBlobStore, folder: Path) -> None:
    await store.put("a/b", chunks(b"the secret " * 1000))
    assert b"secret" not in (folder / "a" / "b").read_bytes()
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


async def test_a_blob_copied_over_another_is_noticed(store: EncryptedBlobStore, folder: Path) -> None:
    await store.put("mine", chunks(b"x"))
    await store.put("yours", chunks(b"y"))
    shutil.copy(folder / "mine", folder / "yours")
    with pytest.raises(SealBroken):
        await read(store, "yours")


@pytest.mark.parametrize("keep", [0, 3, 60, 1000, MIB + 200, 2 * MIB])
async def test_a_blob_cut_short_on_the_disk_is_noticed(store: EncryptedBlobStore, folder: Path, keep: int) -> None:
    await store.put("a", chunks(os.urandom(3 * MIB)))
    os.truncate(folder / "a", keep)
    with pytest.raises(SealBroken):
        await read(store, "a")


async def test_another_keyring_cannot_read_and_says_which_key_is_missing(
    store: EncryptedBlobStore, folder: Path
) -> None:
    await store.put("a", chunks(b"x"))
    with pytest.raises(UnknownKey, match=KEYRING.active):
        await read(EncryptedBlobStore.open(folder, Sealer(Keyring.generate())), "a")


async def test_after_rewrapping_the_old_key_can_go(store: EncryptedBlobStore, folder: Path) -> None:
    content = os.urandom(12 * MIB)
    await store.put("a", chunks(content))
    before = (folder / "a").read_bytes()
    rotated = KEYRING.rotated()
    await EncryptedBlobStore.open(folder, Sealer(rotated)).rewrap("a")
    assert (folder / "a").read_bytes()[-12 * MIB :] == before[-12 * MIB :]
    assert await read(EncryptedBlobStore.open(folder, Sealer(rotated.without(KEYRING.active))), "a") == content


async def test_rewrapping_what_is_not_there_or_is_broken_changes_nothing(
    store: EncryptedBlobStore, folder: Path
) -> None:
    with pytest.raises(BlobNotFound):
        await store.rewrap("a")
    (folder / "a").write_bytes(b"no blob of ours")
    with pytest.raises(SealBroken):
        await store.rewrap("a")
    assert (folder / "a").read_bytes() == b"no blob of ours"


async def test_a_process_killed_in_the_middle_of_a_put_leaves_no_blob(store: EncryptedBlobStore, folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PUT_AND_HANG, str(folder), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), LIMIT_S) == b"half\n"
    process.kill()
    await process.wait()
    assert [entry.name async for entry in store.list()] == []
    with pytest.raises(BlobNotFound):
        await read(store, "a")
    await store.put("a", chunks(b"whole"))
    assert await read(store, "a") == b"whole"


def test_what_a_crash_left_is_removed_after_a_day_and_blobs_are_not(folder: Path) -> None:
    folder.mkdir()
    yesterday = time.time() - 25 * 3600
    for name, age in {"a#1": yesterday, "b#1": time.time(), "c": yesterday}.items():
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (age, age))
    EncryptedBlobStore.open(folder, Sealer(KEYRING))
    assert {path.name for path in folder.iterdir()} == {"b#1", "c"}


async def test_many_puts_at_once_are_all_whole(store: EncryptedBlobStore) -> None:
    contents = {f"n{number}": os.urandom(200_000) for number in range(30)}
    await asyncio.gather(*(store.put(name, chunks(content)) for name, content in contents.items()))
    assert {name: await read(store, name) for name in contents} == contents


async def test_two_puts_of_one_name_leave_one_of_them_whole(store: EncryptedBlobStore) -> None:
    one, two = b"1" * 6 * MIB, b"2" * 6 * MIB
    await asyncio.gather(store.put("a", chunks(one)), store.put("a", chunks(two)))
    assert await read(store, "a") in (one, two)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BlobStoreUnavailable):
        EncryptedBlobStore.open(tmp_path / "file" / "blobs", Sealer(KEYRING))


@pytest.mark.parametrize("url", ["nonsense://x", "s3://", "://"])
def test_a_url_of_no_object_store_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="not the URL of an object store"):
        EncryptedBlobStore.open(url, Sealer(KEYRING))


async def test_a_folder_given_as_text_is_a_folder(folder: Path) -> None:
    await EncryptedBlobStore.open(str(folder), Sealer(KEYRING)).put("a", chunks(b"x"))
    assert (folder / "a").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.root
async def test_a_full_disk_is_unavailable_and_leaves_what_was_there(small_disk: Path) -> None:
    store = EncryptedBlobStore.open(small_disk, Sealer(KEYRING))
    await store.put("a", chunks(b"old"))
    for size in (5 * MIB, 12 * MIB):
        with pytest.raises(Unavailable, match="its disk is full"):
            await store.put("a", chunks(bytes(size)))
    assert await read(store, "a") == b"old"
    await store.put("b", chunks(bytes(2 * MIB)))  # what the failed ones wrote is gone
