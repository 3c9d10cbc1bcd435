"""One suite for the stores of the data service: the fakes, and the real ones on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automesh.core.ids import new_id
from automesh.storage.ledger import SqlBlobLedger
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.postgres import PostgresForTests
from services.data.domain.dataset import DatasetEdit, DatasetQuery, NewDataset
from services.data.domain.errors import (
    ClaimRefused,
    ClaimStale,
    DatasetInUse,
    DatasetNotFound,
    QuotaExceeded,
    RequestReused,
    UploadNotFound,
    VersionNotFound,
)
from services.data.domain.ports import (
    BlobLedger,
    ClaimStore,
    DatasetStore,
    LineageStore,
    UploadStore,
    VersionStore,
)
from services.data.domain.upload import Upload
from services.data.domain.version import (
    Draft,
    Failure,
    FileInfo,
    Manifest,
    Origin,
    Part,
    Recipe,
    State,
    StoredFile,
    Version,
)
from services.data.fakes import stores as fakes
from services.data.fakes.rows import FakeRows
from services.data.store.claims import SqlClaimStore
from services.data.store.datasets import SqlDatasetStore
from services.data.store.lineage import SqlLineageStore
from services.data.store.uploads import SqlUploadStore
from services.data.store.versions import SqlVersionStore

TENANT, OTHER = "acme", "globex"
SHA = "a" * 64
SHIFTS = (
    "UPDATE upload SET expires_at = expires_at - $1::interval",
    "UPDATE version SET heard_at = heard_at - $1::interval WHERE state = 'PROCESSING'",
    "UPDATE version_request SET created_at = created_at - $1::interval",
    "UPDATE discarded_blob SET due_at = due_at - $1::interval",
)


@dataclass
class House:
    """The stores, with a handle on their time."""

    datasets: DatasetStore
    versions: VersionStore
    claims: ClaimStore
    lineage: LineageStore
    uploads: UploadStore
    ledger: BlobLedger
    advance: Callable[[float], Awaitable[None]]

    async def draft(self, name: str = "rows", tenant_id: str = TENANT, **changes: Any) -> Version:
        """A version of a new dataset, or of `data_id`."""
        new = None if "data_id" in changes else NewDataset(name=name, labels=changes.pop("labels", {}))
        version, _ = await self.versions.draft(self.asked(tenant_id, **changes), new)
        return version

    def asked(self, tenant_id: str = TENANT, **changes: Any) -> Draft:
        origin = changes.pop("origin", Origin("generator", "sine"))
        recipe = Recipe(source={"generator": {"seed": "1"}}, pipeline={"steps": []}, origin=origin)
        told = {"data_id": new_id("data"), "created_by": "user_1", "fingerprint": b"f", **changes}
        return Draft(tenant_id=tenant_id, recipe=recipe, **told)

    async def claim(self, version: Version, token: str = "t", task_id: str = "task_1", attempt: int = 1) -> bytes:
        digest = token.encode().ljust(32, b"0")
        await self.claims.claim(version, task_id=task_id, attempt=attempt, digest=digest)
        return digest

    async def ready(self, version: Version, **outcome: Any) -> Version:
        """As an agent makes it."""
        task_id = f"task_{version.data_id}_{version.version}"
        digest = await self.claim(version, token=new_id("t"), task_id=task_id)
        file = stored("train.parquet")
        await self.claims.add_file(digest, file)
        return await self.claims.finish(digest, manifest(file.info, **outcome))

    async def made(self, **changes: Any) -> Version:
        return await self.ready(await self.draft(**changes))

    async def get(self, version: Version) -> Version:
        return await self.versions.get(version.tenant_id, version.data_id, version.version)


def stored(name: str, size: int = 5) -> StoredFile:
    return StoredFile(FileInfo(name, size, SHA), f"versions/{new_id('blob')}")


def manifest(*files: FileInfo, **changes: Any) -> Manifest:
    told: dict[str, Any] = {
        "state": State.READY, "rows": 2, "size": sum(file.size for file in files), "digest": SHA,
        "parts": [Part("train", 2, "train.parquet")], "files": files, "json": {"rows": 2},
    }  # fmt: skip
    return Manifest(**(told | changes))


def upload(tenant_id: str = TENANT, size: int = 10) -> Upload:
    now = datetime.now(UTC)
    upload_id = new_id("upload")
    return Upload(
        upload_id=upload_id, tenant_id=tenant_id, name="a.csv", format="", size=size, sha256=SHA,
        blob=f"uploads/{upload_id}", created_by="user_1", created_at=now, expires_at=now + timedelta(seconds=60),
    )  # fmt: skip


def fake_house() -> House:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def clock() -> datetime:
        nonlocal now
        now += timedelta(microseconds=1)
        return now

    async def advance(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    rows = FakeRows(clock)
    return House(
        fakes.FakeDatasetStore(rows),
        fakes.FakeVersionStore(rows),
        fakes.FakeClaimStore(rows),
        fakes.FakeLineageStore(rows),
        fakes.FakeUploadStore(rows),
        fakes.FakeBlobLedger(rows),
        advance,
    )


def sql_house(database: Database) -> House:
    sealer = Sealer(Keyring.generate())

    async def advance(seconds: float) -> None:
        for statement in SHIFTS:
            await database.execute(statement, timedelta(seconds=seconds), tenant=ENGINE)

    return House(
        SqlDatasetStore(database),
        SqlVersionStore(database, sealer),
        SqlClaimStore(database, sealer),
        SqlLineageStore(database),
        SqlUploadStore(database),
        SqlBlobLedger(database),
        advance,
    )


@pytest.fixture(params=["fake", pytest.param("postgres", marks=pytest.mark.postgres)])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "fake":
        yield fake_house()
        return
    postgres: PostgresForTests = request.getfixturevalue("postgres")
    async with (
        postgres.fresh({"data": "services.data.migrations"}) as dsn,
        Database.open(dsn, schema="data") as database,
    ):
        yield sql_house(database)


# ---------------------------------------------------------------------- datasets
async def test_datasets_are_stored_edited_listed_and_found_by_their_tenant_only(house: House) -> None:
    first = await house.draft("First Rows", labels={"team": "ml"})
    second = await house.draft("second")
    foreign = await house.draft("third", OTHER)
    dataset = await house.datasets.get(TENANT, first.data_id)
    assert (dataset.name, dataset.labels, dataset.latest_version, dataset.last_version) == (
        "First Rows", {"team": "ml"}, 0, 1,
    )  # fmt: skip
    edited = await house.datasets.edit(TENANT, first.data_id, DatasetEdit(description="new", labels={"a": "b"}))
    assert (edited.name, edited.description, edited.labels) == ("First Rows", "new", {"a": "b"})
    listed = await house.datasets.list(TENANT, DatasetQuery(limit=10))
    assert [each.data_id for each in listed] == [first.data_id, second.data_id]
    last = listed[0]
    rest = await house.datasets.list(TENANT, DatasetQuery(limit=10, before=(last.updated_at, last.data_id)))
    assert [each.data_id for each in rest] == [second.data_id]
    for query in (DatasetQuery(limit=10, name_contains="t R"), DatasetQuery(limit=10, label=("a", "b"))):
        assert [each.data_id for each in await house.datasets.list(TENANT, query)] == [first.data_id]
    for call in (
        house.datasets.get(TENANT, foreign.data_id),
        house.datasets.edit(TENANT, foreign.data_id, DatasetEdit(name="mine")),
        house.datasets.delete(TENANT, foreign.data_id, force=True),
        house.versions.get(TENANT, foreign.data_id, 0),
        house.versions.get(TENANT, foreign.data_id, 1),
        house.draft(data_id=foreign.data_id),
    ):
        with pytest.raises(DatasetNotFound):
            await call


async def test_deleting_forgets_versions_and_discards_their_blobs(house: House) -> None:
    made = await house.made()
    working = await house.draft(data_id=made.data_id)
    await house.versions.bind(working, "task_9")
    assert list(await house.datasets.delete(TENANT, made.data_id, force=False)) == ["task_9"]
    with pytest.raises(DatasetNotFound):
        await house.datasets.get(TENANT, made.data_id)
    [blob] = await house.ledger.discarded(10)
    await house.ledger.swept([blob])
    assert list(await house.ledger.discarded(10)) == []


async def test_what_something_depends_on_is_deleted_only_by_force(house: House) -> None:
    made = await house.made()
    await house.lineage.add_dependent(TENANT, made.data_id, 1, ("model_a", 2))
    with pytest.raises(DatasetInUse, match="model model_a/2"):
        await house.datasets.delete(TENANT, made.data_id, force=False)
    await house.lineage.remove_dependent(TENANT, "model_a", 1)
    with pytest.raises(DatasetInUse):
        await house.datasets.delete(TENANT, made.data_id, force=False)
    await house.lineage.remove_dependent(TENANT, "model_a", 0)
    child = await house.draft("child", origin=Origin("dataset", made.data_id, 1))
    with pytest.raises(DatasetInUse, match=f"dataset {child.data_id}/1"):
        await house.datasets.delete(TENANT, made.data_id, force=False)
    await house.datasets.delete(TENANT, made.data_id, force=True)


# ---------------------------------------------------------------------- versions
async def test_what_was_drafted_is_read_back(house: House) -> None:
    drafted = await house.draft(task_id="task_1")
    assert await house.get(drafted) == drafted
    assert (drafted.state, drafted.version, drafted.task_id) == (State.PROCESSING, 1, "task_1")
    assert drafted.recipe.source == {"generator": {"seed": "1"}}
    assert await house.versions.of_task(TENANT, "task_1") == drafted
    assert await house.versions.of_task(OTHER, "task_1") is None
    with pytest.raises(VersionNotFound):
        await house.versions.get(TENANT, drafted.data_id, 2)
    with pytest.raises(VersionNotFound):
        await house.versions.get(TENANT, drafted.data_id, 0)


async def test_a_request_stands_for_one_version(house: House) -> None:
    asked = house.asked(request_id="r1")
    first, fresh = await house.versions.draft(asked, NewDataset(name="x"))
    again, second = await house.versions.draft(replace(asked, data_id=new_id("data")), NewDataset(name="x"))
    assert (fresh, second, again) == (True, False, first)
    assert await house.versions.of_request(TENANT, "r1", b"f") == first
    assert await house.versions.of_request(OTHER, "r1", b"f") is None
    with pytest.raises(RequestReused):
        await house.versions.of_request(TENANT, "r1", b"another")
    await house.advance(60)
    assert await house.versions.forget_requests(timedelta(seconds=30)) == 1
    assert await house.versions.of_request(TENANT, "r1", b"another") is None


async def test_drafts_at_once_make_one_version_for_a_request_and_one_for_a_task(house: House) -> None:
    new = NewDataset(name="x")
    asked = [house.asked(request_id="r1") for _ in range(5)] + [house.asked(task_id="task_1") for _ in range(5)]
    made = await asyncio.gather(*(house.versions.draft(each, new) for each in asked))
    assert sum(fresh for _, fresh in made) == 2
    assert len({version.data_id for version, _ in made[:5]}) == len({version.data_id for version, _ in made[5:]}) == 1


async def test_versions_count_up_also_when_asked_for_at_once(house: House) -> None:
    first = await house.draft()
    made = await asyncio.gather(*(house.draft(data_id=first.data_id) for _ in range(5)))
    assert sorted(each.version for each in made) == [2, 3, 4, 5, 6]
    listed = await house.versions.list(TENANT, first.data_id, limit=3, before=6)
    assert [each.version for each in listed] == [5, 4, 3]


async def test_a_version_without_a_task_can_be_withdrawn(house: House) -> None:
    asked = house.asked(request_id="r1")
    version, _ = await house.versions.draft(asked, NewDataset(name="x"))
    await house.versions.withdraw(version)
    with pytest.raises(DatasetNotFound):
        await house.datasets.get(TENANT, version.data_id)
    assert await house.versions.of_request(TENANT, "r1", b"f") is None
    bound = await house.draft()
    await house.versions.bind(bound, "task_1")
    await house.versions.bind(bound, "task_2")
    await house.versions.withdraw(bound)
    assert (await house.get(bound)).task_id == "task_1"


async def test_a_version_is_made_only_of_one_that_is_ready(house: House) -> None:
    working = await house.draft()
    with pytest.raises(VersionNotFound):
        await house.draft(origin=Origin("dataset", working.data_id, 1))
    foreign = await house.made(tenant_id=OTHER)
    with pytest.raises(VersionNotFound):
        await house.draft(origin=Origin("dataset", foreign.data_id, 1))


async def test_failing_settles_once_and_discards_what_was_written(house: House) -> None:
    version = await house.draft()
    digest = await house.claim(version)
    await house.claims.add_file(digest, stored("a"))
    assert await house.versions.fail(version, Failure("BROKEN", "it broke"))
    assert not await house.versions.fail(version, Failure("AGAIN", "no"))
    failed = await house.get(version)
    assert (failed.state, failed.failure) == (State.FAILED, Failure("BROKEN", "it broke"))
    assert failed.finished_at is not None
    assert len(await house.ledger.discarded(10)) == 1
    assert dict(await house.versions.files(TENANT, version.data_id, 1)) == {}


async def test_quiet_versions_are_given_out_once(house: House) -> None:
    version = await house.draft()
    await house.made(name="done")
    assert list(await house.versions.quiet(timedelta(seconds=30), 10)) == []
    await house.advance(60)
    assert [each.data_id for each in await house.versions.quiet(timedelta(seconds=30), 10)] == [version.data_id]
    assert list(await house.versions.quiet(timedelta(seconds=30), 10)) == []


# ---------------------------------------------------------------------- claims
async def test_a_claim_binds_the_task_and_a_later_one_replaces_it(house: House) -> None:
    version = await house.draft()
    old = await house.claim(version, "old")
    await house.claims.add_file(old, stored("a"))
    assert (await house.claims.held(old)).task_id == "task_1"
    new = await house.claim(version, "new", attempt=2)
    for call in (house.claims.held(old), house.claims.add_file(old, stored("b")),
                 house.claims.finish(old, Failure("X", "x"))):  # fmt: skip
        with pytest.raises(ClaimStale):
            await call
    assert len(await house.ledger.discarded(10)) == 1
    with pytest.raises(ClaimStale):
        await house.claim(version, "late", attempt=1)
    with pytest.raises(ClaimRefused):
        await house.claim(version, "thief", task_id="task_2")
    assert (await house.claims.held(new)).state is State.PROCESSING


async def test_a_finished_claim_registers_what_it_names_and_nothing_else(house: House) -> None:
    version = await house.draft()
    digest = await house.claim(version)
    kept, scratch, former = stored("train.parquet"), stored("scratch"), stored("train.parquet", 4)
    await house.ledger.reserve(kept.blob, timedelta(seconds=1))
    for file in (former, kept, scratch):
        await house.claims.add_file(digest, file)
    with pytest.raises(Exception, match="never written"):
        await house.claims.finish(digest, manifest(FileInfo("other", 1, SHA)))
    assert (await house.get(version)).state is State.PROCESSING
    done = await house.claims.finish(digest, manifest(kept.info))
    assert (done.state, done.rows, done.size, done.digest, done.manifest) == (State.READY, 2, 5, SHA, {"rows": 2})
    assert await house.claims.finish(digest, Failure("LATE", "no")) == done
    assert dict(await house.versions.files(TENANT, version.data_id, 1)) == {"train.parquet": kept}
    await house.advance(5)
    assert set(await house.ledger.discarded(10)) == {scratch.blob, former.blob}
    with pytest.raises(ClaimStale):
        await house.claims.add_file(digest, stored("train.parquet"))
    assert (await house.versions.get(TENANT, version.data_id, 0)) == done
    again, number = await house.claims.claim(version, task_id="task_1", attempt=9, digest=b"9" * 32)
    assert (again, number) == (done, 0)


async def test_only_ready_versions_become_the_latest(house: House) -> None:
    first = await house.made()
    second = await house.draft(data_id=first.data_id)
    third = await house.ready(await house.draft(data_id=first.data_id))
    await house.ready(second)  # the older one is done later
    assert (await house.datasets.get(TENANT, first.data_id)).latest_version == third.version == 3
    await house.ready(await house.draft(data_id=first.data_id), state=State.REJECTED)
    dataset = await house.datasets.get(TENANT, first.data_id)
    assert (dataset.latest_version, dataset.last_version) == (3, 4)


# ---------------------------------------------------------------------- lineage
async def test_lineage_is_walked_both_ways_with_distances(house: House) -> None:
    first = await house.made(origin=Origin("url", "https://x"))
    middle = await house.made(origin=Origin("dataset", first.data_id, 1))
    last = await house.made(origin=Origin("dataset", middle.data_id, 1))
    await house.lineage.add_dependent(TENANT, middle.data_id, 1, ("model_a", 1))
    up = await house.lineage.upstream(TENANT, last.data_id, 1, 10)
    assert [(node.kind, node.id, node.distance) for node in up] == [
        ("dataset", middle.data_id, 1), ("dataset", first.data_id, 2), ("url", "https://x", 3),
    ]  # fmt: skip
    down = await house.lineage.downstream(TENANT, first.data_id, 1, 10)
    assert [(node.kind, node.id, node.distance) for node in down] == [
        ("dataset", middle.data_id, 1), ("dataset", last.data_id, 2), ("model", "model_a", 2),
    ]  # fmt: skip
    assert len(await house.lineage.downstream(TENANT, first.data_id, 1, 2)) == 2
    working = await house.draft()
    with pytest.raises(VersionNotFound):
        await house.lineage.add_dependent(TENANT, working.data_id, 1, ("model_a", 1))


# ---------------------------------------------------------------------- uploads
async def test_uploads_are_kept_within_the_quota_and_until_they_expire(house: House) -> None:
    first = await house.uploads.put(upload(), quota=25)
    await house.uploads.put(upload(), quota=25)
    with pytest.raises(QuotaExceeded):
        await house.uploads.put(upload(), quota=25)
    await house.uploads.put(upload(OTHER), quota=25)
    assert await house.uploads.used(TENANT) == 20
    assert await house.uploads.get(TENANT, first.upload_id) == first
    with pytest.raises(UploadNotFound):
        await house.uploads.get(OTHER, first.upload_id)
    working = await house.draft(origin=Origin("upload", first.upload_id))
    await house.advance(61)
    assert await house.uploads.expire(10) == 2
    assert (await house.uploads.get(TENANT, first.upload_id)).upload_id == first.upload_id
    await house.versions.fail(working, Failure("X", "x"))
    with pytest.raises(UploadNotFound):
        await house.uploads.get(TENANT, first.upload_id)
    assert await house.uploads.expire(10) == 1
    assert len(await house.ledger.discarded(10)) == 3


async def test_a_fetched_file_is_kept_while_its_version_is_made(house: House) -> None:
    version = await house.draft(origin=Origin("url", "https://x"))
    fetched = await house.uploads.put(upload(), quota=100)
    await house.claims.set_upload(version, fetched.upload_id)
    assert (await house.get(version)).upload_id == fetched.upload_id
    await house.advance(61)
    assert await house.uploads.expire(10) == 0


async def test_a_reserved_blob_is_swept_once_its_time_has_come(house: House) -> None:
    await house.ledger.reserve("uploads/x", timedelta(seconds=30))
    assert list(await house.ledger.discarded(10)) == []
    await house.advance(31)
    assert list(await house.ledger.discarded(10)) == ["uploads/x"]
