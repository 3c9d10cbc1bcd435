"""The data service over stores in memory: what its loops and its fetches do when things around it fail."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automesh.core.errors import InternalError, Unavailable, ValidationError
from automesh.core.ids import new_id
from automesh.testing.blobs import FakeBlobStore
from services.data.convert.orders import order_of_input
from services.data.domain.dataset import NewDataset
from services.data.domain.fetching import MAX_UNDER_WAY, UrlFetcher
from services.data.domain.follower import TaskFollower
from services.data.domain.intake import UploadIntake
from services.data.domain.maker import VersionMaker
from services.data.domain.order import Order, Resolver
from services.data.domain.ports import TaskState
from services.data.domain.version import State, Version
from services.data.fakes import stores as fakes
from services.data.fakes.outside import FakeTasks, FakeUrls
from services.data.fakes.rows import FakeRows
from services.data.loops.housekeeping import Housekeeping

URL = "https://files.test/rows.csv"
LIMIT_S = 10


class House:
    """The use cases over fakes, with a clock of its own."""

    def __init__(self, wait_s: float = 5.0) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        rows = FakeRows(self.clock)
        self.versions, self.uploads = fakes.FakeVersionStore(rows), fakes.FakeUploadStore(rows)
        self.ledger, self.blobs = fakes.FakeBlobLedger(rows), FakeBlobStore()
        self.tasks, self.urls = BrittleTasks(), FakeUrls({URL: b"a\n1\n"})
        intake = UploadIntake(
            self.uploads, self.ledger, self.blobs, make_id=new_id, clock=self.clock, max_bytes=100, quota=1000,
            keep_for=timedelta(hours=1),
        )  # fmt: skip
        claims = fakes.FakeClaimStore(rows)
        self.fetcher = UrlFetcher(self.urls, intake, self.uploads, claims, wait_s=wait_s)
        self.maker = VersionMaker(
            self.versions, self.uploads, self.tasks, Resolver(self.versions, self.uploads, self.urls),
            make_id=new_id, read_order=order_of_input, made=self.fetcher.begin, quota=1000,
        )  # fmt: skip
        self.follower = TaskFollower(self.versions, self.tasks, self.maker, quiet_for=timedelta(seconds=10))
        self.housekeeping = Housekeeping(self.uploads, self.versions, self.ledger, self.blobs)

    def clock(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now

    async def make(self, **source: Any) -> Version:
        order = order_of_input({"name": "x", "source": source or {"generator": {}}})
        return await self.maker.make("default", "user_1", order)

    async def get(self, version: Version) -> Version:
        return await self.versions.get("default", version.data_id, version.version)


class BrittleTasks(FakeTasks):
    """Some of whose tasks nobody can read."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: set[str] = set()
        self.asked = 0

    async def state(self, tenant_id: str, task_id: str) -> TaskState | None:
        self.asked += 1
        if task_id in self.broken:
            raise InternalError("cannot be read")
        return await super().state(tenant_id, task_id)


async def test_one_task_that_nobody_can_read_does_not_hold_up_the_others() -> None:
    house = House()
    made = [await house.make() for _ in range(3)]
    house.tasks.broken.add(made[0].task_id)
    for version in made:
        house.tasks.end(version.task_id, "CANCELLED")
    house.now += timedelta(minutes=1)
    with pytest.raises(InternalError):
        await house.follower.follow()
    states = [(await house.get(version)).state for version in made]
    assert states == [State.PROCESSING, State.FAILED, State.FAILED]


async def test_a_round_ends_early_while_the_orchestrator_is_away() -> None:
    house = House()
    made = [await house.make() for _ in range(10)]
    house.tasks.broken = {version.task_id for version in made}
    house.now += timedelta(minutes=1)
    with pytest.raises(InternalError):
        await house.follower.follow()
    assert house.tasks.asked < 10


async def test_a_file_behind_a_url_is_fetched_before_anybody_claims_it() -> None:
    house = House()
    version = await house.make(url={"url": URL})
    await asyncio.wait_for(house.urls.ended.wait(), LIMIT_S)
    upload = await house.fetcher.fetched(await house.get(version))
    assert (upload.name, upload.format, house.urls.fetched) == ("rows.csv", "FILE_FORMAT_CSV", [URL])


async def test_a_fetch_that_fails_early_is_tried_again_by_the_claim() -> None:
    house = House()
    house.urls.fails = Unavailable("it does not answer")
    version = await house.make(url={"url": URL})
    with pytest.raises(Unavailable):
        await house.fetcher.fetched(version)
    house.urls.fails = None
    assert (await house.fetcher.fetched(await house.get(version))).size == 4


async def test_a_claim_is_asked_to_come_again_while_a_fetch_lasts() -> None:
    house = House(wait_s=0.01)
    house.urls.gate.clear()
    version = await house.make(url={"url": URL})
    with pytest.raises(Unavailable) as error:
        await house.fetcher.fetched(version)
    assert error.value.retry_after is not None
    await house.fetcher.close()
    assert house.blobs.blobs == {}


async def test_no_more_than_so_many_files_are_fetched_ahead_and_a_claim_still_gets_its_own() -> None:
    house = House()
    house.urls.gate.clear()
    versions = [await house.make(url={"url": URL}) for _ in range(MAX_UNDER_WAY + 1)]
    assert len(house.fetcher._running) == MAX_UNDER_WAY
    house.urls.gate.set()
    assert (await house.fetcher.fetched(await house.get(versions[-1]))).size == 4


async def test_clean_up_forgets_what_is_old_and_deletes_its_bytes() -> None:
    house = House()
    await house.make(url={"url": URL})
    await asyncio.wait_for(house.urls.ended.wait(), LIMIT_S)
    await house.housekeeping.clean_up()
    assert len(house.blobs.blobs) == 1
    [version] = await house.versions.quiet(timedelta(0), 10)
    house.tasks.end(version.task_id, "FAILED")
    house.now += timedelta(hours=2)
    await house.follower.follow()
    await house.housekeeping.clean_up()
    assert house.blobs.blobs == {}


def test_an_order_is_for_a_dataset_or_for_a_new_one() -> None:
    new = NewDataset(name="x")
    for data_id, dataset in (("", None), ("data_x", new)):
        with pytest.raises(ValidationError) as error:
            Order(data_id=data_id, new=dataset, source={"generator": {}})
        assert error.value.violations[0].field == "data_id"
