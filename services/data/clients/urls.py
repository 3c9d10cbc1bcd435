"""Files behind URLs: https through the one outbound client, object stores with the operator's credentials."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from services.data.clients.object_urls import SCHEMES, ObjectUrls
from services.data.domain.errors import UrlRefused


class AllowedUrls:
    """A services.data.domain.ports.Urls."""

    def __init__(self, objects: ObjectUrls) -> None:
        self._objects = objects

    def check(self, url: str) -> None:
        """Raises UrlRefused unless the allow-list has it."""
        if urlsplit(url).scheme not in SCHEMES:
            raise UrlRefused(f"{url[:200]} is not on the operator's allow-list", field="source.url.url")
        self._objects.check(url)

    def fetch(self, url: str) -> AsyncIterator[bytes]:
        """The bytes."""
        self.check(url)
        return self._objects.fetch(url)


@asynccontextmanager
async def allowed_urls(allow_list: Sequence[str], *, limit_s: float) -> AsyncGenerator[AllowedUrls]:
    """What the allow-list lets in."""
    yield AllowedUrls(ObjectUrls(allow_list, limit_s=limit_s))
