"""Files behind URLs: https through the one outbound client, object stores with the operator's credentials."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from automesh.core.errors import ValidationError
from automesh.outbound.allowlist import AllowList
from automesh.outbound.client import OutboundClient, OutboundLimits
from automesh.outbound.errors import AnswerTooLarge, UrlNotAllowed
from services.data.clients.object_urls import ObjectUrls, is_object
from services.data.domain.errors import FetchFailed, UrlRefused, file_too_large

FIELD = "source.url.url"


class AllowedUrls:
    """A services.data.domain.ports.Urls."""

    def __init__(self, web: OutboundClient, objects: ObjectUrls) -> None:
        self._web, self._objects = web, objects

    def check(self, url: str) -> None:
        """Raises UrlRefused unless the allow-list has it."""
        if is_object(url):
            self._objects.check(url)
            return
        try:
            self._web.check(url)
        except UrlNotAllowed as error:
            raise UrlRefused(error.message, field=FIELD) from error

    async def fetch(self, url: str) -> AsyncIterator[bytes]:
        """The bytes. Raises FetchFailed for what another attempt cannot mend, Unavailable for what it may."""
        self.check(url)
        chunks = self._objects.fetch(url) if is_object(url) else self._web.fetch(url)
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        except AnswerTooLarge as error:
            limit = int(error.metadata["limit"])
            raise file_too_large(limit, setting="AUTOMESH_DATA_MAX_UPLOAD_BYTES", field=FIELD) from error
        except ValidationError as error:
            raise FetchFailed(error.message) from error


@asynccontextmanager
async def allowed_urls(
    allow_list: Sequence[str], *, limit_s: float, max_bytes: int, ca_file: Path | None
) -> AsyncGenerator[AllowedUrls]:
    """What the allow-list lets in."""
    web = AllowList.parse(entry for entry in allow_list if not is_object(entry))
    limits = OutboundLimits(max_bytes=max_bytes, total_s=limit_s)
    async with OutboundClient(web, limits=limits, ca_file=ca_file) as client:
        yield AllowedUrls(client, ObjectUrls([entry for entry in allow_list if is_object(entry)], limit_s=limit_s))
