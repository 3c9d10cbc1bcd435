"""Who wins when several things happen to a site at once: the one who spoke last."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from automesh.doc.v1 import site_pb2, space_pb2
from automesh.doc.v1 import site_service_pb2 as pb
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.errors import RequestReused
from services.doc.domain.jobs.errors import TooManyWatchers
from services.doc.domain.publishing import publisher
from services.doc.domain.publishing.addresses import SiteAddresses
from services.doc.domain.publishing.errors import TooManyBuilds
from services.doc.domain.publishing.links import LinkKeys
from services.doc.domain.publishing.site import ReleaseState
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.space import NewSpace
from services.doc.store.sites import MAX_WAITING
from tests.integration.doc.doc_house import refused
from tests.integration.doc.doc_house_core import ANNA, doc_core
from tests.integration.doc.doc_house_sites import LEASE_S, Stores, publishing

pytestmark = pytest.mark.postgres


async def test_releases_of_a_site_are_built_in_the_order_in_which_they_were_asked_for(stores: Stores) -> None:
    await stores.asked("rel_1")
    await stores.asked("rel_2")
    await stores.asked("rel_p", preview=True)
    first = await stores.queue.claim(LEASE_S)
    preview = await stores.queue.claim(LEASE_S)
    assert first is not None
    assert preview is not None
    assert (first.release_id, preview.release_id) == ("rel_1", "rel_p")
    assert await stores.queue.claim(LEASE_S) is None
    assert await stores.queue.finish(first, await stores.kept(b"1"))
    assert await stores.finished(b"2")
    assert await stores.current() == "rel_2"


async def test_a_build_that_was_asked_for_before_a_rollback_does_not_undo_it(stores: Stores) -> None:
    for release_id in ("rel_1", "rel_2"):
        await stores.asked(release_id)
        await stores.finished()
    await stores.asked("rel_3")
    building = await stores.queue.claim(LEASE_S)
    assert building is not None
    await stores.sites.roll_back("default", "guides", "", actor="ben", reason="wrong")
    assert not await stores.queue.finish(building, await stores.kept(b"3"))
    assert await stores.current() == "rel_1"
    left = await stores.sites.release("default", "guides", "rel_3")
    assert left.state is ReleaseState.READY
    assert any("rolled back" in check for check in left.checks)
    await stores.asked("rel_4")
    assert await stores.finished()
    assert await stores.current() == "rel_4"


async def test_two_rollbacks_at_once_go_back_one_after_the_other(stores: Stores) -> None:
    for number in range(1, 5):
        await stores.asked(f"rel_{number}")
        await stores.finished()
    back = await asyncio.gather(
        *(stores.sites.roll_back("default", "guides", "", actor="ben", reason=str(each)) for each in range(2))
    )
    assert {each.release_id for each in back} == {"rel_3", "rel_2"}
    switches = await stores.sites.switches("default", "guides", limit=10, before=None)
    assert [each.release_id for each in switches] == ["rel_2", "rel_3", "rel_4", "rel_3", "rel_2", "rel_1"]
    assert all(one.previous == other.release_id for one, other in pairwise(switches))


async def test_a_rollback_does_not_lead_to_what_was_rolled_back_before(stores: Stores) -> None:
    for number in range(1, 4):
        await stores.asked(f"rel_{number}")
        await stores.finished()

    async def back(release_id: str = "") -> str:
        return (await stores.sites.roll_back("default", "guides", release_id, actor="ben", reason="x")).release_id

    assert await back() == "rel_2"
    await stores.asked("rel_4")
    await stores.finished()
    assert await back() == "rel_2"
    assert await back("rel_4") == "rel_4"
    assert await back() == "rel_2"


async def test_no_more_releases_wait_than_a_tenant_may_have_and_the_same_request_is_no_other(stores: Stores) -> None:
    for number in range(MAX_WAITING - 1):
        await stores.asked(f"rel_{number}")
    await stores.asked("rel_last", request_id="mine")
    with pytest.raises(TooManyBuilds):
        await stores.asked("rel_more")
    await stores.asked("rel_again", request_id="mine")
    for other in ({"branch": "next"}, {"preview": True}, {"created_by": "eve"}):
        with pytest.raises(RequestReused):
            await stores.asked("rel_other", request_id="mine", **other)


async def test_streams_of_builds_are_bounded(
    postgres: PostgresForTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "MAX_WATCHERS", 1)
    async with doc_core(postgres, tmp_path) as core:
        stores = Stores(core)
        watched = publisher.SitePublisher(
            stores.sites, core.branches, core.directory, doorbell=core.site_bell, make_id=core.options.make_id,
            addresses=SiteAddresses("http://127.0.0.1:8081"),
            keys=LinkKeys(core.outside.sealer, core.options.clock, ttl=timedelta(hours=1)),
        )  # fmt: skip
        await stores.asked("rel_1")
        async with aclosing(watched.watch(ANNA, "guides", "rel_1")) as stream:
            assert (await anext(stream)).state is ReleaseState.BUILDING
            with pytest.raises(TooManyWatchers):
                await anext(watched.watch(ANNA, "guides", "rel_1"))
        await stores.finished()
        assert [each.state async for each in watched.watch(ANNA, "guides", "rel_1")] == [ReleaseState.CURRENT]


async def test_another_tenant_sees_nothing_of_a_site(stores: Stores) -> None:
    await stores.asked("rel_1")
    await stores.finished()
    assert (await stores.sites.site("other", "guides")).current == ""
    assert await stores.sites.releases("other", "guides", "", limit=10, before=None) == []


async def test_a_space_goes_with_its_site(postgres: PostgresForTests, tmp_path: Path) -> None:
    async with doc_core(postgres, tmp_path) as core:
        stores = Stores(core)
        await core.directory.create(ANNA, NewSpace(space="gone"))
        await stores.asked("rel_1", space="gone")
        await stores.finished()
        admin = Person(tenant_id="default", user="root", admin=True)
        await core.directory.delete(admin, "gone", force=True, reason="test")
        assert await stores.database.fetchval("SELECT count(*) FROM release", tenant="default") == 0


async def test_publishing_needs_a_role_in_the_space_and_so_does_making_it_public(
    postgres: PostgresForTests, tmp_path: Path
) -> None:
    async with publishing(postgres, tmp_path) as site:
        await site.doc.space("secret", visibility=space_pb2.VISIBILITY_MEMBERS, members=[{"user": "ann", "role": 1}])
        stub = await site.sites("ann")
        for call in (
            stub.PublishSite(pb.PublishSiteRequest(space="secret")),
            stub.RollBackSite(pb.RollBackSiteRequest(space="secret", reason="x")),
            stub.UnpublishSite(pb.UnpublishSiteRequest(space="secret", reason="x")),
            stub.UpdateSite(pb.UpdateSiteRequest(site=site_pb2.Site(space="secret", etag="0", title="x"))),
            stub.UpdateSite(pb.UpdateSiteRequest(site=site_pb2.Site(space="handbook", etag="1", public=False))),
        ):
            assert (await refused(call)).reason == "PERMISSION_DENIED"
        stranger = await site.sites("eve")
        assert (await refused(stranger.GetSite(pb.GetSiteRequest(space="secret")))).reason == "SPACE_NOT_FOUND"


async def test_previews_can_have_hosts_of_their_own(postgres: PostgresForTests, tmp_path: Path) -> None:
    async with publishing(postgres, tmp_path, site_preview_url="http://{release}.previews.example") as site:
        release = await site.publish(preview=True)
        assert release.url == f"http://{release.release_id.replace('_', '-')}.previews.example/"
        link = (
            await (await site.sites()).GetPreviewLink(
                pb.GetPreviewLinkRequest(space="handbook", release_id=release.release_id)
            )
        ).url
        host = httpx.URL(release.url).host
        opened = await site.get(f"/?{link.partition('?')[2]}", host=host)
        assert opened.headers["location"] == "/"
        cookie = opened.headers["set-cookie"].partition(";")[0]
        page = await site.get("/guides/start.html", host=host, cookie=cookie)
        assert "zebra" in page.text
        assert (await site.get("/guides/start.html", cookie=cookie)).status_code == 404


async def test_readers_see_a_whole_site_while_it_is_switched_to_and_fro(
    postgres: PostgresForTests, tmp_path: Path
) -> None:
    """Every page says which release it is of; a reader never sees a mixture of a page and its 404."""
    async with publishing(postgres, tmp_path) as site:
        one = await site.publish()
        await site.doc.write("two.md", "# Two\n")
        two = await site.publish()
        stub = await site.sites()
        seen: set[int] = set()

        async def read() -> None:
            async with httpx.AsyncClient(base_url=site.url) as client:
                for _ in range(60):
                    seen.add((await client.get("/handbook/two.html")).status_code)
                    assert (await client.get("/handbook/")).status_code == 200

        async def switch() -> None:
            for number in range(20):
                target = (one, two)[number % 2].release_id
                await stub.RollBackSite(pb.RollBackSiteRequest(space="handbook", release_id=target, reason=str(number)))

        await asyncio.gather(read(), read(), switch())
        assert seen <= {200, 404}
        assert (await site.get("/handbook/two.html")).status_code == 200
