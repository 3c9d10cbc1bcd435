"""Addresses of sites, links that open them, and what the listener has in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from automesh.core.errors import Unavailable
from automesh.storage.sealing import Keyring, Sealer
from services.doc.domain.publishing.addresses import Place, SiteAddresses
from services.doc.domain.publishing.errors import BadLink
from services.doc.domain.publishing.links import LinkKeys, release_scope, site_scope
from services.doc.domain.publishing.ports import Body, Served
from services.doc.domain.publishing.site import ReleaseFile
from services.doc.web.asking import decoded
from services.doc.web.shelf import Shelf

SITE = site_scope("default", "handbook")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_a_link_opens_what_it_was_made_for_until_its_time_is_up() -> None:
    clock = Clock()
    keys = LinkKeys(Sealer(Keyring.generate()), clock, ttl=timedelta(hours=1))
    key = keys.make(SITE)
    assert keys.check(key, SITE) == clock.now + timedelta(hours=1)
    for scope in (site_scope("default", "other"), site_scope("other", "handbook"), release_scope("handbook")):
        with pytest.raises(BadLink):
            keys.check(key, scope)
    clock.now += timedelta(hours=1)
    with pytest.raises(BadLink):
        keys.check(key, SITE)


def test_nobody_else_can_make_a_link() -> None:
    keys = LinkKeys(Sealer(Keyring.generate()), Clock(), ttl=timedelta(hours=1))
    stranger = LinkKeys(Sealer(Keyring.generate()), Clock(), ttl=timedelta(hours=1))
    key = keys.make(SITE)
    for wrong in ("", "x", "=", "é", key[:-1], "A" + key[1:], key + "A", stranger.make(SITE), "A" * 5000):
        with pytest.raises(BadLink):
            keys.check(wrong, SITE)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/handbook/", Place("/handbook/", "", "default", "handbook")),
        ("/handbook/a/b.html", Place("/handbook/", "a/b.html", "default", "handbook")),
        ("/~t/acme/handbook/a", Place("/~t/acme/handbook/", "a", "acme", "handbook")),
        ("/~preview/rel_1/a", Place("/~preview/rel_1/", "a", release_id="rel_1")),
        ("/handbook", None),
        ("/", None),
        ("/~t/*/handbook/", None),
        ("/~t/acme", None),
        ("/~preview/rel_1", None),
        ("/~preview/a b/", None),
        ("/Handbook/", None),
        ("/-x/", None),
    ],
)
def test_an_address_means_one_site_or_none(path: str, place: Place | None) -> None:
    assert SiteAddresses("http://docs.example:8081/").place("docs.example:8081", path) == place


def test_releases_can_have_hosts_of_their_own() -> None:
    addresses = SiteAddresses("https://docs.example", "https://{release}.previews.example:8443")
    assert addresses.release("rel_01abc") == "https://rel-01abc.previews.example:8443/"
    place = addresses.place("REL-01abc.previews.example:8443", "/a/b.html")
    assert place == Place("/", "a/b.html", release_id="rel_01abc")
    assert addresses.place("docs.example", "/handbook/") == Place("/handbook/", "", "default", "handbook")
    assert addresses.place("evil.example", "/~preview/rel_1/") == Place("/~preview/rel_1/", "", release_id="rel_1")


def test_addresses_of_sites_lead_back_to_them() -> None:
    addresses = SiteAddresses("https://docs.example")
    for tenant, space in (("default", "handbook"), ("acme", "x-1")):
        url = addresses.site(tenant, space)
        place = addresses.place("docs.example", url.removeprefix("https://docs.example"))
        assert place is not None
        assert (place.tenant_id, place.space, place.path) == (tenant, space, "")


def test_a_path_is_read_strictly() -> None:
    assert decoded(b"/a/b%20c") == "/a/b c"
    assert decoded(b"/handbook/" + b"%F0%9F%A6%93" * 400 + b".html") == f"/handbook/{chr(0x1F993) * 400}.html"
    assert decoded("/a/é".encode()) == decoded(b"/a/e%CC%81")
    for wrong in (
        b"a",
        b"/..",
        b"/a/../b",
        b"/%2e%2e/",
        b"//a",
        b"/a//b",
        b"/a%00",
        b"/a%5cb",
        b"/%ff",
        b"/a\x7f",
        b"/" + b"a" * 9000,
    ):
        assert decoded(wrong) is None, wrong


class FakeSites:
    """A PublishedSites of one site, whose database can go away."""

    def __init__(self) -> None:
        self.shown, self.away = "rel_1", False
        self.asked = 0

    async def current(self, tenant_id: str, space: str) -> Served | None:
        self.asked += 1
        if self.away:
            raise Unavailable("the database is away")
        return Served(tenant_id, space, self.shown, True) if space == "handbook" else None

    async def preview(self, release_id: str) -> Served | None:
        return Served("default", "handbook", release_id, False)

    async def public_sites(self, limit: int) -> Sequence[tuple[str, str]]:
        return [("default", "handbook")]

    async def file(self, served: Served, path: str) -> ReleaseFile | None:
        self.asked += 1
        return ReleaseFile(path=path, sha256=f"{served.release_id} {path}", size=1, content_type="text/plain")

    async def body(self, tenant_id: str, sha256: str) -> Body:
        self.asked += 1
        return Body(b"x" * 1_000_000, False)

    async def chunks(self, body: Body) -> AsyncIterator[bytes]:
        yield b""


async def test_a_switch_is_seen_as_soon_as_somebody_tells_of_it() -> None:
    sites = FakeSites()
    shelf = Shelf(sites)
    assert (await shelf.current("default", "handbook")) == Served("default", "handbook", "rel_1", True)
    sites.shown = "rel_2"
    assert (await shelf.current("default", "handbook")) == Served("default", "handbook", "rel_1", True)
    assert sites.asked == 1
    shelf.forget()
    assert (await shelf.current("default", "handbook")) == Served("default", "handbook", "rel_2", True)


async def test_what_was_read_lately_is_shown_while_the_database_is_away() -> None:
    sites = FakeSites()
    shelf = Shelf(sites)
    served = await shelf.current("default", "handbook")
    sites.away = True
    shelf.forget()
    assert await shelf.current("default", "handbook") == served
    with pytest.raises(Unavailable):
        await shelf.current("default", "unseen")


async def test_files_are_read_once_and_memory_is_bounded() -> None:
    sites = FakeSites()
    shelf = Shelf(sites)
    served = Served("default", "handbook", "rel_1", True)
    for number in range(100):
        file = await shelf.file(served, f"{number}")
        assert file is not None
        await shelf.body(served, file)
    asked = sites.asked
    last = await shelf.file(served, "99")
    first = await shelf.file(served, "0")
    assert last is not None
    assert first is not None
    await shelf.body(served, last)
    assert sites.asked == asked
    await shelf.body(served, first)  # pushed out by the others
    assert sites.asked == asked + 1
