"""What readers' browsers get from the listener: headers, caches, files of people, and paths that mean mischief."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from automesh.doc.v1 import site_service_pb2 as pb
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.spaces.access import Person
from tests.integration.doc.doc_house_sites import BROWSER, Published, publishing

pytestmark = pytest.mark.postgres

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8ffff3f0005fe02fea7354a650000000049454e44ae426082"
)
MISCHIEF = (
    "/handbook/../handbook/index.html",
    "/handbook/%2e%2e/other/",
    "/handbook/..%2fother/",
    "/handbook/..%5cother",
    "/handbook//evil.html",
    "//evil.example/",
    "/handbook/%00",
    "/handbook/a%0d%0aset-cookie:%20x=y",
    "/handbook/%ff%fe",
    "/handbook/%C0%AE%C0%AE/",
    "/handbook/./index.html",
    "/~preview/",
    "/~preview/rel_nothing/",
    "/~preview/../handbook/",
    "/~t/default",
    "/~t/*/handbook/",
    "/~t/other/handbook/",
    "/HANDBOOK/",
    "/nothing/",
    "/",
    "/handbook/" + "a" * 5000,
)
LARGE = bytes(range(256)) * 4000
ANN = Person(tenant_id="default", user="ann")


@pytest.fixture
async def site(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Published]:
    """Published, with a picture, a drawing and a page of somebody's own beside the documents."""
    async with publishing(postgres, tmp_path) as published:
        await attach(published, "img/dot.png", PNG)
        await attach(
            published, "img/draw.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
        )
        await attach(published, "evil.html", b"<!doctype html><script>alert(1)</script>")
        await attach(published, "evil.js", b"alert(1)")
        await published.doc.write("pictures.md", "# Pictures\n\n![dot](img/dot.png) [file](evil.html)\n")
        await published.publish()
        yield published


async def attach(site: Published, path: str, content: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    await site.doc.engine.core.attachments.keep(ANN, "handbook", "main", path, chunks())


@asynccontextmanager
async def raw(site: Published, request: bytes) -> AsyncIterator[bytes]:
    """The answer to bytes that no client would send."""
    host, port = site.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        yield await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
    finally:
        writer.close()


async def test_pages_say_what_browsers_may_do_with_them(site: Published) -> None:
    page = await site.get("/handbook/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "set-cookie" not in page.headers
    assert " style=" not in page.text
    assert not re.search(r"<script(?![^>]* src=)", page.text)


async def test_a_page_that_has_not_changed_is_not_sent_again(site: Published) -> None:
    page = await site.get("/handbook/")
    assert page.headers["cache-control"] == "public, no-cache"
    again = await site.get("/handbook/", if_none_match=page.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert "content-length" not in again.headers
    assert (await site.get("/handbook/", if_none_match='"something else"')).status_code == 200


async def test_what_a_page_needs_never_changes_and_is_kept_for_ever(site: Published) -> None:
    page = await site.get("/handbook/")
    assets = re.findall(r'(?:src|href)="\./(~assets/[^"]+)"', page.text)
    assert len(assets) == 6
    for asset in assets:
        answer = await site.get(f"/handbook/{asset}")
        assert answer.status_code == 200, asset
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    index = await site.get("/handbook/~search/index.json")
    assert index.headers["cache-control"] == "public, no-cache"
    words = index.json()["terms"][0][1]
    assert "immutable" in (await site.get(f"/handbook/~search/{words}")).headers["cache-control"]


async def test_texts_travel_compressed_to_whom_that_suits(site: Published) -> None:
    async with httpx.AsyncClient(base_url=site.url) as client:
        async with client.stream("GET", "/handbook/", headers={"accept-encoding": "gzip"}) as packed:
            content = b"".join([chunk async for chunk in packed.aiter_raw()])
        plain = await client.get("/handbook/", headers={"accept-encoding": "identity"})
        none = await client.get("/handbook/", headers={"accept-encoding": "gzip;q=0, identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "accept-encoding"
    assert gzip.decompress(content) == plain.content == none.content
    assert "content-encoding" not in plain.headers
    assert packed.headers["etag"] != plain.headers["etag"]
    assert (await site.get("/handbook/", if_none_match=packed.headers["etag"])).status_code == 304


async def test_head_tells_what_get_would(site: Published) -> None:
    async with httpx.AsyncClient(base_url=site.url, headers={"accept-encoding": "identity"}) as client:
        head, get = await client.head("/handbook/"), await client.get("/handbook/")
        assert head.content == b""
        assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            answer = await client.request(method, "/handbook/")
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD"), method


async def test_files_of_people_are_shown_or_downloaded_but_never_run(site: Published) -> None:
    picture = await site.get("/handbook/img/dot.png")
    assert (picture.headers["content-type"], picture.content) == ("image/png", PNG)
    for path in ("evil.html", "evil.js"):
        answer = await site.get(f"/handbook/{path}")
        assert answer.headers["content-type"] in {"application/octet-stream", "text/plain; charset=utf-8"}
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
    drawing = await site.get("/handbook/img/draw.svg")
    assert "sandbox" in drawing.headers["content-security-policy"]
    assert "script-src" not in drawing.headers["content-security-policy"]
    page = await site.get("/handbook/pictures.html")
    assert '<img src="img/dot.png" alt="dot">' in page.text


async def test_a_path_that_means_mischief_leads_nowhere(site: Published) -> None:
    for path in MISCHIEF:
        async with raw(site, f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()) as status:
            assert int(status.split()[1]) in {400, 404, 414}, (path, status)


async def test_a_key_that_is_none_of_ours_is_none(site: Published) -> None:
    for path in (
        "/handbook?~key=a%0d%0aset-cookie:%20x=y",
        "/handbook/index.html?~key=%00",
        "/handbook/?~key=x" + "&a" * 30,
        "/handbook/?~key=" + "A" * 5000,
    ):
        for public in (True, False):
            await site.choose(public=public)
            answer = await site.get(path)
            assert answer.status_code in {200, 301, 308, 403, 404}, (path, answer.status_code)
            assert "key" not in answer.headers.get("location", "")


async def test_a_link_opens_for_browsers_that_send_their_cookies_one_by_one(site: Published) -> None:
    await site.choose(public=False)
    link = (await (await site.sites()).GetPreviewLink(pb.GetPreviewLinkRequest(space="handbook"))).url
    opened = await site.get(link)
    assert opened.headers.get_list("cache-control") == ["no-store"]
    ours = opened.headers["set-cookie"].partition(";")[0]
    async with httpx.AsyncClient(base_url=site.url) as client:  # as HTTP/2 has it
        crumbs = [("cookie", "before=1"), ("cookie", ours), ("cookie", "after=2")]
        assert (await client.get("/handbook/", headers=crumbs)).status_code == 200


async def test_a_large_file_that_is_lost_is_an_error_before_it_is_an_answer(site: Published) -> None:
    await attach(site, "large.bin", LARGE)
    await site.publish()
    async with httpx.AsyncClient(base_url=site.url) as client:
        head = await client.head("/handbook/large.bin")
    assert head.headers["content-length"] == str(len(LARGE))
    assert (await site.get("/handbook/large.bin")).content == LARGE
    for blob in (site.doc.folder / "blobs" / "doc" / "sites").iterdir():
        blob.unlink()
    lost = await site.get("/handbook/large.bin")
    assert lost.status_code == 500
    assert "written down" in lost.text


async def test_what_is_not_there_has_a_page_of_the_site_that_leads_back(site: Published) -> None:
    answer = await site.get("/handbook/a/b/c.html")
    assert answer.status_code == 404
    assert "~root~" not in answer.text
    links = re.findall(r'(?:href|src)="([^"#]+)"', answer.text)
    assert "/handbook/guides/start.html" in links
    for link in links:
        assert (await site.get(link)).status_code == 200, link


async def test_addresses_that_people_make_up_lead_to_what_they_mean(site: Published) -> None:
    for asked, shown in (
        ("/handbook", "/handbook/"),
        ("/handbook/index.html", "/handbook/"),
        ("/handbook/guides/start", "/handbook/guides/start.html"),
        ("/handbook/guides/start.md", "/handbook/guides/start.html"),
        ("/handbook/guides", "/handbook/guides/"),
    ):
        answer = await site.get(asked)
        assert answer.headers["location"] == shown
        assert (await site.get(shown)).status_code == 200


async def test_search_engines_are_told_of_public_sites_only(site: Published) -> None:
    assert "Sitemap: " + site.url + "/handbook/sitemap.xml" in (await site.get("/robots.txt")).text
    await site.choose(public=False)
    robots = await site.get("/robots.txt")
    assert "Sitemap" not in robots.text
    assert "Disallow: /~preview/" in robots.text


async def test_pages_that_people_read_are_counted_by_document_and_robots_apart(site: Published) -> None:
    heard: list[tuple[str, str, bool]] = []

    class Ear:
        def seen(self, tenant_id: str, space: str, path: str, visitor: str, *, robot: bool) -> None:
            heard.append((space, path, robot))

    core = site.doc.engine.core
    real, core.recorder.seen = core.recorder.seen, Ear().seen  # type: ignore[method-assign]
    try:
        await site.get("/handbook/guides/start.html")
        await site.get("/handbook/guides/start.html", user_agent="Googlebot/2.1")
        await site.get("/handbook/", sec_purpose="prefetch")
        await site.get("/handbook/nothing.html")
        await site.get("/handbook/~tags/")
        async with httpx.AsyncClient(base_url=site.url) as client:
            await client.head("/handbook/", headers=BROWSER)
    finally:
        core.recorder.seen = real  # type: ignore[method-assign]
    assert heard == [("handbook", "guides/start.md", False), ("handbook", "guides/start.md", True)]
