"""Files behind URLs: allow-list and words for people, over the real outbound client and a real object store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore

from automesh.core.errors import Unavailable
from services.data.clients.object_urls import ObjectUrls
from services.data.clients.urls import AllowedUrls, allowed_urls
from services.data.domain.errors import FetchFailed, FileTooLarge, UrlRefused
from services.data.settings import Settings

ANSWERS = {
    "/sets/rows.csv": b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\na,b\n1,2\n",
    "/sets/large": b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n",
    "/sets/gone": b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    "/sets/moved": b"HTTP/1.1 302 Found\r\nlocation: /etc\r\ncontent-length: 0\r\n\r\n",
    "/sets/busy": b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
}


@pytest.fixture
async def urls() -> AsyncIterator[tuple[AllowedUrls, str]]:
    """A web server of this machine, which the allow-list permits below /sets/."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(ANSWERS[head.split(" ")[1]])
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with allowed_urls([f"{base}/sets/ private"], limit_s=10, max_bytes=100, ca_file=None) as found:
            yield found, base


async def content(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def test_a_file_below_the_allow_list_is_fetched(urls: tuple[AllowedUrls, str]) -> None:
    found, base = urls
    assert await content(found.fetch(f"{base}/sets/rows.csv")) == b"a,b\n1,2\n"


async def test_what_is_not_on_the_allow_list_is_refused_by_its_field(urls: tuple[AllowedUrls, str]) -> None:
    found, base = urls
    bad = [f"{base}/other/x", f"{base}/sets/../etc", "http://127.0.0.1:1/sets/x", "file:///etc/passwd", "s3://b/x", ""]
    for url in bad:
        with pytest.raises(UrlRefused) as error:
            found.check(url)
        assert error.value.violations[0].field == "source.url.url"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("gone", FetchFailed), ("moved", FetchFailed), ("large", FileTooLarge), ("busy", Unavailable)],
)
async def test_a_fetch_says_whether_another_attempt_may_help(
    urls: tuple[AllowedUrls, str], path: str, kind: type[Exception]
) -> None:
    found, base = urls
    with pytest.raises(kind):
        await content(found.fetch(f"{base}/sets/{path}"))


async def test_objects_are_read_below_the_allow_list_only(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "a b.csv").write_bytes(b"a\n1\n")
    opened: list[str] = []

    def open_store(url: str) -> Any:
        opened.append(url)
        return LocalStore(tmp_path)

    objects = ObjectUrls(["s3://bucket/public/"], limit_s=10, open_store=open_store)
    assert await content(objects.fetch("s3://bucket/public/a%20b.csv")) == b"a\n1\n"
    assert opened == ["s3://bucket"]
    with pytest.raises(FetchFailed):
        await content(objects.fetch("s3://bucket/public/absent"))
    bad = ["s3://bucket/private/x", "s3://bucket2/public/x", "gs://bucket/public/x", "s3://bucket/public/../x",
           "s3://bucket/public/%2e%2e/x", "s3://bucket/publicly"]  # fmt: skip
    for url in bad:
        with pytest.raises(UrlRefused):
            objects.check(url)


def test_an_allow_list_that_nobody_understands_stops_the_start(tmp_path: Path) -> None:
    told: dict[str, Any] = {"postgres_dsn": "x", "keyring_file": tmp_path}
    Settings(**told, data_url_allow_list=["https://files.test/public/", "s3://bucket/"])
    with pytest.raises(ValueError, match="data_url_allow_list"):
        Settings(**told, data_url_allow_list=["files.test"])
