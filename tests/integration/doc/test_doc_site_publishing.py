"""Publishing, from the request to what readers see, and back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automesh.doc.v1 import branch_service_pb2 as branch_pb
from automesh.doc.v1 import site_pb2
from automesh.doc.v1 import site_service_pb2 as pb
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.publishing.errors import NothingToRollBack, ReleaseNotFound, SiteChanged
from services.doc.store.site_queue import SqlReleaseQueue
from tests.integration.doc.doc_house import invalid, refused
from tests.integration.doc.doc_house_sites import Published, publishing

pytestmark = pytest.mark.postgres


@pytest.fixture
async def site(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Published]:
    async with publishing(postgres, tmp_path) as published:
        yield published


async def test_a_published_space_is_read_as_pages(site: Published) -> None:
    release = await site.publish(message="first light")
    assert release.state == site_pb2.RELEASE_STATE_CURRENT, release.failure
    assert (release.pages, release.created_by, release.message) == (2, "ann", "first light")
    assert release.url == f"{site.url}/handbook/"
    assert list(release.checks) == []
    home = await site.get("/handbook/")
    assert home.status_code == 200
    assert '<a href="guides/start.html#first-steps"' in home.text
    page = await site.get("/handbook/guides/start.html")
    assert '<h2 id="first-steps">First steps' in page.text
    assert (await site.get("/handbook/~tags/intro.html")).status_code == 200
    assert "guides/start.html" in (await site.get("/handbook/sitemap.xml")).text


async def test_nothing_is_there_before_the_first_release_nor_after_it_was_taken_down(site: Published) -> None:
    assert (await site.get("/handbook/")).status_code == 404
    await site.publish()
    assert (await site.get("/handbook/")).status_code == 200
    stub = await site.sites()
    answer = await stub.UnpublishSite(pb.UnpublishSiteRequest(space="handbook", reason="secret by mistake"))
    assert answer.site.current == ""
    assert (await site.get("/handbook/")).status_code == 404
    switches = (await stub.ListSwitches(pb.ListSwitchesRequest(space="handbook"))).switches
    assert [(each.release_id != "", each.reason) for each in switches] == [(False, "secret by mistake"), (True, "")]


async def test_a_rollback_shows_the_release_before_in_one_call_and_pauses_auto_publish(site: Published) -> None:
    first = await site.publish()
    document = await site.doc.write("extra.md", "# Extra\n\nNew.\n")
    second = await site.publish()
    await site.choose(auto_publish=True)
    assert (await site.get("/handbook/extra.html")).status_code == 200
    stub = await site.sites("ben")
    await invalid(stub.RollBackSite(pb.RollBackSiteRequest(space="handbook")))
    answer = await stub.RollBackSite(pb.RollBackSiteRequest(space="handbook", reason="extra is wrong"))
    assert answer.release.release_id == first.release_id
    assert answer.release.state == site_pb2.RELEASE_STATE_CURRENT
    assert answer.site.paused == "rolled back by ben: extra is wrong"
    assert (await site.get("/handbook/extra.html")).status_code == 404
    switch = (await stub.ListSwitches(pb.ListSwitchesRequest(space="handbook"))).switches[0]
    assert (switch.release_id, switch.previous, switch.actor, switch.reason, switch.rollback) == (
        first.release_id, second.release_id, "ben", "extra is wrong", True,
    )  # fmt: skip
    assert isinstance(
        await refused(stub.RollBackSite(pb.RollBackSiteRequest(space="handbook", reason="x"))), NothingToRollBack
    )
    back = await stub.RollBackSite(
        pb.RollBackSiteRequest(space="handbook", release_id=second.release_id, reason="it was right")
    )
    assert back.release.release_id == second.release_id
    assert (await site.get("/handbook/extra.html")).status_code == 200
    assert document.path == "extra.md"


async def test_a_preview_leaves_readers_where_they_are_and_opens_by_a_link(site: Published) -> None:
    await site.publish()
    branches = await site.doc.branches()

    await branches.CreateBranch(branch_pb.CreateBranchRequest(space="handbook", branch="draft"))
    await site.doc.write("draft.md", "# Draft\n\nOnly here.\n", branch="draft")
    preview = await site.publish(branch="draft", preview=True)
    assert preview.state == site_pb2.RELEASE_STATE_READY, preview.failure
    assert (await site.get("/handbook/draft.html")).status_code == 404
    path = preview.url.removeprefix(site.url)
    assert (await site.get(f"{path}draft.html")).status_code == 404
    stub = await site.sites()
    link = await stub.GetPreviewLink(pb.GetPreviewLinkRequest(space="handbook", release_id=preview.release_id))
    assert link.ttl.seconds == 3600
    opened = await site.get(link.url)
    assert opened.status_code == 303
    cookie = opened.headers["set-cookie"]
    assert f"Path={path}" in cookie
    assert "HttpOnly" in cookie
    assert "~key" not in opened.headers["location"]
    page = await site.get(f"{path}draft.html", cookie=cookie.partition(";")[0])
    assert page.status_code == 200
    assert "Only here." in page.text
    assert page.headers["x-robots-tag"] == "noindex"
    assert (await site.get("/handbook/", cookie=cookie.partition(";")[0])).status_code == 200


async def test_a_site_that_is_not_public_opens_by_its_own_link_only(site: Published) -> None:
    await site.choose(public=False)
    release = await site.publish()
    stranger = await site.get("/handbook/")
    assert stranger.status_code == 404
    assert stranger.text == (await site.get("/no-such-space/")).text
    assert "make a link" in stranger.text
    made_up = [await site.get(f"{path}?~key=made-up") for path in ("/handbook/", "/no-such-space/")]
    assert [answer.status_code for answer in made_up] == [403, 403]
    stub = await site.sites()
    wrong = (await stub.GetPreviewLink(pb.GetPreviewLinkRequest(space="handbook", release_id=release.release_id))).url
    key = wrong.partition("?")[2]
    assert (await site.get(f"/handbook/?{key}")).status_code == 403
    right = (await stub.GetPreviewLink(pb.GetPreviewLinkRequest(space="handbook"))).url
    assert (await site.get(right)).status_code == 303
    assert (await site.get(right.replace("~key=", "~key=A"))).status_code == 403


async def test_equal_sites_have_equal_digests(site: Published) -> None:
    first, second = await site.publish(), await site.publish()
    assert first.digest == second.digest
    await site.doc.write("more.md", "# More\n")
    assert (await site.publish()).digest != first.digest


async def test_the_same_request_builds_once(site: Published) -> None:
    first, again = await site.publish(request_id="r1"), await site.publish(request_id="r1")
    assert first.release_id == again.release_id
    listed = (await (await site.sites()).ListReleases(pb.ListReleasesRequest(space="handbook"))).releases
    assert len(listed) == 1


async def test_a_space_without_documents_fails_and_says_why(site: Published) -> None:
    await site.doc.space("empty")
    release = await site.publish(space="empty")
    assert release.state == site_pb2.RELEASE_STATE_FAILED
    assert "no documents" in release.failure


async def test_links_that_lead_nowhere_are_told_but_keep_nobody_from_publishing(site: Published) -> None:
    await site.doc.write("bad.md", "# Bad\n\n[gone](nope.md) [place](guides/start.md#nowhere)\n")
    release = await site.publish()
    assert release.state == site_pb2.RELEASE_STATE_CURRENT
    assert any("'nope.md' leads nowhere" in check for check in release.checks)
    assert any("a place that is not in guides/start.html" in check for check in release.checks)


async def test_a_moved_page_leads_to_where_it_is_now(site: Published) -> None:
    document = await site.doc.write("before.md", "# Moving\n")
    await site.doc.edit(document, "# Moving\n", path="after.md")
    await site.publish()
    answer = await site.get("/handbook/before.html")
    assert (answer.status_code, answer.headers["location"]) == (301, "/handbook/after.html")


async def test_a_build_is_watched_from_its_beginning_to_its_end(site: Published) -> None:
    stub = await site.sites()
    asked = (await stub.PublishSite(pb.PublishSiteRequest(space="handbook"))).release
    request = pb.WatchReleaseRequest(space="handbook", release_id=asked.release_id)
    seen = [message async for message in stub.WatchRelease(request)]
    assert seen[-1].release.state == site_pb2.RELEASE_STATE_CURRENT
    assert seen[-1].fraction == 1.0
    assert [each.fraction for each in seen] == sorted(each.fraction for each in seen)


async def test_an_update_of_what_somebody_else_has_changed_is_refused(site: Published) -> None:
    stub = await site.sites("root", "doc.read", "doc.write", "doc.publish", "doc.admin")
    read = (await stub.GetSite(pb.GetSiteRequest(space="handbook"))).site
    await site.choose(title="Ours")
    read.title = "Mine"
    assert isinstance(await refused(stub.UpdateSite(pb.UpdateSiteRequest(site=read))), SiteChanged)
    assert (await stub.GetSite(pb.GetSiteRequest(space="handbook"))).site.title == "Ours"


async def test_what_is_known_of_a_site_is_known_to_be_old_after_a_switch_but_choices_are_not(site: Published) -> None:
    stub = await site.sites("root", "doc.read", "doc.write", "doc.publish", "doc.admin")
    before = (await stub.GetSite(pb.GetSiteRequest(space="handbook"))).site
    await site.publish()
    after = (await stub.GetSite(pb.GetSiteRequest(space="handbook"))).site
    assert before.etag != after.etag
    before.title = "Ours"
    assert (await stub.UpdateSite(pb.UpdateSiteRequest(site=before))).site.title == "Ours"


async def test_only_as_many_releases_as_wanted_are_kept_and_the_current_always(site: Published) -> None:
    await site.choose(keep=2)
    releases = [await site.publish() for _ in range(4)]
    core = site.doc.engine.core

    assert await SqlReleaseQueue(core.outside.database).clean_up() == 2
    stub = await site.sites()
    listed = (await stub.ListReleases(pb.ListReleasesRequest(space="handbook"))).releases
    assert [each.release_id for each in listed] == [releases[3].release_id, releases[2].release_id]
    gone = pb.GetReleaseRequest(space="handbook", release_id=releases[0].release_id)
    assert isinstance(await refused(stub.GetRelease(gone)), ReleaseNotFound)
    assert (await site.get("/handbook/")).status_code == 200


async def test_merges_publish_by_themselves_and_after_a_rollback_only_once_that_is_resumed(
    postgres: PostgresForTests, tmp_path: Path
) -> None:
    async with publishing(postgres, tmp_path, site_quiet_s=0.05, poll_every_s=0.05) as site:
        await site.publish()
        await site.choose(auto_publish=True)
        await site.doc.write("one.md", "# One\n", user="cid")
        release = await _newest(site, 2)
        assert (release.created_by, release.message) == ("cid", "main has changed")
        stub = await site.sites()
        await stub.RollBackSite(pb.RollBackSiteRequest(space="handbook", reason="one is wrong"))
        await site.doc.write("two.md", "# Two\n")
        assert (await site.get("/handbook/two.html")).status_code == 404
        answer = await stub.ResumeAutoPublish(pb.ResumeAutoPublishRequest(space="handbook"))
        assert answer.site.paused == ""
        await _newest(site, 3)
        assert (await site.get("/handbook/two.html")).status_code == 200


async def _newest(site: Published, count: int) -> site_pb2.Release:
    """The newest of `count` releases, once it is there and current."""

    stub = await site.sites()
    async with asyncio.timeout(20):
        while True:
            rung = site.doc.engine.core.doorbell.rung
            found = (await stub.ListReleases(pb.ListReleasesRequest(space="handbook"))).releases
            if len(found) >= count and found[0].state == site_pb2.RELEASE_STATE_CURRENT:
                return found[0]
            await site.doc.engine.core.doorbell.wait(rung, 0.2)
