"""Backups that were cut, altered or lost, keys that are not theirs, and processes that die over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from automesh.core.errors import Unavailable
from automesh.doc.v1 import backup_service_pb2 as pb
from automesh.doc.v1 import job_pb2
from automesh.doc.v1 import space_service_pb2 as space_pb
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.postgres import Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.doc.clients.backup_store import BlobBackupStore
from services.doc.domain.backups.backup import Backup, Piece
from services.doc.store.restores import SqlRestorer
from tests.integration.doc.doc_house import Served, refused, serving
from tests.integration.doc.doc_house_transfer import Backups, Files, Transfers, problems

SEALER = Sealer(Keyring.generate())
FILES: Files = {**{f"p{at}.md": f"# Page {at}\n\n[next](p{at + 1}.md)\n" for at in range(5)}, "a.bin": b"\x00\x01"}


@pytest.fixture
async def house(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Served]:
    """With a space, and a store of backups of its own."""
    backups = EncryptedBlobStore.open(tmp_path / "backups", SEALER)
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
        serving(database, SEALER, tmp_path / "house", backups=backups) as served,
    ):
        await served.space()
        await Transfers(served).done(FILES)
        yield served


async def spaces(served: Served) -> set[str]:
    listed = await (await served.spaces()).ListSpaces(space_pb.ListSpacesRequest())
    return {each.space for each in listed.spaces}


async def test_a_backup_that_goes_while_backups_are_listed_is_not_in_the_list(
    house: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await Backups(house).make() for _ in range(2)]
    get = BlobBackupStore.get

    async def removing(self: BlobBackupStore, tenant_id: str, backup_id: str) -> Backup:
        await self.clear(tenant_id, made[0].backup_id)
        return await get(self, tenant_id, backup_id)

    monkeypatch.setattr(BlobBackupStore, "get", removing)
    assert [each.backup_id for each in await Backups(house).list()] == [made[1].backup_id]


@contextmanager
def spoiled(file: Path, content: bytes | None) -> Iterator[None]:
    """Another content for a while, or none."""
    whole = file.read_bytes()
    try:
        file.unlink() if content is None else file.write_bytes(content)
        yield
    finally:
        file.write_bytes(whole)


async def test_a_document_that_the_backup_lacks_leaves_no_empty_space_behind(house: Served) -> None:
    made = await Backups(house).make()
    job = await Backups(house).restore(made.backup_id, space="handbook", document_id="doc_0", as_space="other")
    assert job.state == job_pb2.JOB_STATE_FAILED
    assert "no document 'doc_0'" in job.failure
    assert await spaces(house) == {"handbook"}


@pytest.mark.slow
async def test_every_part_that_is_lost_cut_or_altered_is_found_and_named(house: Served, tmp_path: Path) -> None:
    first = await Backups(house).make()
    await house.write("later.md", "# Later\n")
    second = await Backups(house).make()
    parts = [each for each in (tmp_path / "backups").rglob("*") if each.is_file()]
    assert len(parts) > 10
    for at, part in enumerate(parts):
        whole = part.read_bytes()
        contents = (None, whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1]), b"")
        with spoiled(part, contents[at % len(contents)]):
            told = [await said_of(house, each) for each in (first, second)]
        assert all("error of ours" not in each for each in told), (part, told)
        owner = first if first.backup_id in str(part) else second
        assert any(owner.backup_id in each for each in told), (part, told)
    assert [await said_of(house, each) for each in (first, second)] == ["", ""]


async def said_of(served: Served, backup: pb.Backup) -> str:
    """What is wrong with it."""
    stub = await Backups(served).stub()
    try:
        job = (await stub.VerifyBackup(pb.VerifyBackupRequest(backup_id=backup.backup_id))).job
    except Exception as error:
        return f"{error}"
    job = await Backups(served).ended(job)
    return f"{job.failure} {problems(job)}" if job.state == job_pb2.JOB_STATE_FAILED else ""


async def test_with_another_key_nothing_is_read_and_it_is_said_why(
    house: Served, postgres: PostgresForTests, tmp_path: Path
) -> None:
    made = await Backups(house).make()
    other = Sealer(Keyring.generate())
    backups = EncryptedBlobStore.open(tmp_path / "backups", other)
    async with (
        postgres.fresh({"doc": "services.doc.migrations"}) as dsn,
        Database.open(dsn, schema="doc") as database,
        serving(database, other, tmp_path / "there", backups=backups) as there,
    ):
        stub = await Backups(there).stub()
        error = await refused(stub.RestoreBackup(pb.RestoreBackupRequest(backup_id=made.backup_id)))
        assert error.reason == "BACKUP_DAMAGED"
        assert "key" in error.message


async def test_a_backup_that_dies_half_way_is_made_again_and_leaves_nothing_else(
    house: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, count = BlobBackupStore.put, [0]
    monkeypatch.setattr("services.doc.loops.jobs.TRY_AGAIN_S", 0.0)

    async def dying(self: BlobBackupStore, *args: Any) -> tuple[Piece, int]:
        count[0] += 1
        if count[0] == 5:
            raise Unavailable("the store is away")
        return await put(self, *args)

    monkeypatch.setattr(BlobBackupStore, "put", dying)
    made = await Backups(house).make()
    assert count[0] > 9
    assert (await Backups(house).verify(made.backup_id)).state == job_pb2.JOB_STATE_DONE
    await Backups(house).delete(made.backup_id)
    assert not [each for each in (tmp_path / "backups").rglob("*") if each.is_file()]


async def test_what_a_backup_left_that_never_came_to_an_end_goes_with_the_next_one(
    house: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups" / "tenant=default"
    first = await Backups(house).make()
    await house.write("later.md", "# Later\n")
    second = await Backups(house).make()
    pieces = {each.name for each in (folder / "pieces" / first.backup_id).iterdir()}
    left = EncryptedBlobStore.open(tmp_path / "backups", SEALER)
    await BlobBackupStore(left).put("default", "backup_dead", b"rows")
    head = folder / "heads" / first.backup_id
    with spoiled(head, b"unreadable"):
        whole = await Backups(house).make()
        assert whole.base == ""  # the second one has lost what it builds on
        assert (folder / "pieces" / "backup_dead").exists()  # nobody knows on what the first one builds
    with spoiled(head, None):
        third = await Backups(house).make()
    assert not list((folder / "pieces").rglob("backup_dead/*"))
    assert {each.name for each in (folder / "pieces" / first.backup_id).iterdir()} == pieces  # the second builds on it
    for backup in (first, second, third):
        assert await said_of(house, backup) == ""


async def test_a_restore_that_dies_half_way_brings_everything_back_once(
    house: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await Backups(house).make()
    add_rows, count = SqlRestorer.add_rows, [0]
    monkeypatch.setattr("services.doc.loops.jobs.TRY_AGAIN_S", 0.0)

    async def dying(self: SqlRestorer, *args: Any) -> tuple[int, int]:
        count[0] += 1
        if count[0] == 2:
            raise Unavailable("the database is away")
        return await add_rows(self, *args)

    monkeypatch.setattr(SqlRestorer, "add_rows", dying)
    job = await Backups(house).restored(made.backup_id, space="handbook", as_space="again")
    assert set(await Transfers(house).paths("again")) == {path for path in FILES if path.endswith(".md")}
    assert job.tally.updated == job.tally.refused == 0
    again = await Backups(house).make(spaces=["again"])
    once = await Backups(house).restored(again.backup_id, space="again", as_space="third")
    assert once.tally.created == 6
    assert not problems(once)
