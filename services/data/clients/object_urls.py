"""Files in object stores (s3://, gs://, az://), read with the credentials that the operator gave the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from automesh.core.errors import Unavailable
from services.data.domain.errors import FetchFailed, UrlRefused
from services.data.settings import OBJECT_STORES

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CHUNK_BYTES = 1024 * 1024
_GONE = (FileNotFoundError, PermissionError)

OpenStore = Callable[[str], "ObjectStore"]
"""The store of a bucket, by its URL."""


class ObjectUrls:
    """Reads objects below the entries of an allow-list."""

    def __init__(self, allow_list: Sequence[str], *, limit_s: float, open_store: OpenStore = from_url) -> None:
        self._allowed = [urlsplit(entry) for entry in allow_list]
        self._limit_s = limit_s
        self._open_store = open_store

    def check(self, url: str) -> None:
        """Raises UrlRefused unless the object stands below an entry of the allow-list."""
        parts = urlsplit(url)
        odd = ".." in unquote(parts.path).split("/") or parts.query or parts.fragment or not parts.path.strip("/")
        if odd or not any(_below(parts, entry) for entry in self._allowed):
            raise UrlRefused(
                f"{url[:200]} is not on the operator's allow-list (AUTOMESH_DATA_URL_ALLOW_LIST)",
                field="source.url.url",
            )

    async def fetch(self, url: str) -> AsyncGenerator[bytes, None]:
        """The object in chunks. Raises FetchFailed for one that is not there, Unavailable for what may pass."""
        self.check(url)
        parts = urlsplit(url)
        try:
            async with asyncio.timeout(self._limit_s):
                store = self._open_store(f"{parts.scheme}://{parts.netloc}")
                found = await obstore.get_async(store, unquote(parts.path).lstrip("/"))
                async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                    for start in range(0, len(chunk), CHUNK_BYTES):
                        yield bytes(chunk[start : start + CHUNK_BYTES])
        except _GONE as error:
            raise FetchFailed(f"{url[:200]} is not there, or may not be read: {_first_line(error)}") from error
        except TimeoutError:
            raise Unavailable(f"{url[:200]} took more than {self._limit_s:g} s") from None
        except (BaseError, OSError) as error:
            raise Unavailable(f"{url[:200]} could not be read: {_first_line(error)}") from error


def is_object(url: str) -> bool:
    """Whether a URL, or an entry of an allow-list, is one of an object store."""
    return url.partition("://")[0] in OBJECT_STORES


def _below(parts: SplitResult, entry: SplitResult) -> bool:
    folder = entry.path.rstrip("/") + "/"
    same = (parts.scheme, parts.netloc) == (entry.scheme, entry.netloc)
    return same and (parts.path == entry.path or parts.path.startswith(folder))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
