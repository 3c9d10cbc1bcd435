"""What the listener has in memory of sites: small, bounded, and never behind for longer than a second."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable
from typing import Generic, TypeVar

from automesh.core.errors import AutomationError, Kind
from services.doc.domain.publishing.ports import Body, PublishedSites, Served
from services.doc.domain.publishing.site import ReleaseFile

FRESH_S = 1.0
"""What readers see is looked at so often at least; `forget` makes it at once."""
STALE_S = 300.0
"""While the database is away, a site that was looked at lately is shown as it was then."""
MAX_POINTERS, MAX_FILES, MAX_BODIES = 2_000, 8 * 1024 * 1024, 64 * 1024 * 1024
"""How many, and bytes: what strangers ask for by long names that are not there must not fill the memory."""
ENTRY = 300
"""Bytes of an entry without its path or content, roughly."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Recent(Generic[K, V]):
    """What was used last, up to a total weight."""

    def __init__(self, most: int) -> None:
        self._most, self._weight = most, 0
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def set(self, key: K, value: V, weight: int = 1) -> None:
        if weight > self._most // 8:
            return
        _, before = self._kept.pop(key, (None, 0))
        self._kept[key] = (value, weight)
        self._weight += weight - before
        while self._weight > self._most:
            _, (_, gone) = self._kept.popitem(last=False)
            self._weight -= gone


class Shelf:
    """Reads sites through memory. Releases never change, so only the pointers to them are asked for again."""

    def __init__(self, sites: PublishedSites) -> None:
        self._sites = sites
        self._pointers: _Recent[tuple[str, str], tuple[Served | None, float]] = _Recent(MAX_POINTERS)
        self._files: _Recent[tuple[str, str], tuple[ReleaseFile | None]] = _Recent(MAX_FILES)
        self._bodies: _Recent[tuple[str, str], Body] = _Recent(MAX_BODIES)
        self._fresh_since = 0.0

    def forget(self) -> None:
        """What readers see may have changed."""
        self._fresh_since = time.monotonic()

    async def current(self, tenant_id: str, space: str) -> Served | None:
        """What readers of a space see."""
        return await self._pointer((tenant_id, space))

    async def release(self, release_id: str) -> Served | None:
        """A release by itself."""
        return await self._pointer(("", release_id))

    async def file(self, served: Served, path: str) -> ReleaseFile | None:
        """By its path."""
        kept = self._files.get((served.release_id, path))
        if kept is None:
            kept = (await self._sites.file(served, path),)
            self._files.set((served.release_id, path), kept, len(path) + ENTRY)
        return kept[0]

    async def body(self, served: Served, file: ReleaseFile) -> Body:
        """Its bytes, or where they are."""
        key = (served.tenant_id, file.sha256)
        body = self._bodies.get(key)
        if body is None:
            body = await self._sites.body(*key)
            self._bodies.set(key, body, len(body.content or b"") + ENTRY)
        return body

    def chunks(self, body: Body) -> AsyncIterator[bytes]:
        """Of a large file."""
        return self._sites.chunks(body)

    async def public_sites(self, limit: int) -> list[tuple[str, str]]:
        """Those that anybody may read."""
        return list(await self._sites.public_sites(limit))

    async def _pointer(self, key: tuple[str, str]) -> Served | None:
        asked_at = time.monotonic()
        kept = self._pointers.get(key)
        if kept is not None and kept[1] > max(self._fresh_since, asked_at - FRESH_S):
            return kept[0]
        try:
            served = await (self._sites.current(*key) if key[0] else self._sites.preview(key[1]))
        except AutomationError as error:
            if error.kind is Kind.UNAVAILABLE and kept is not None and kept[1] > asked_at - STALE_S:
                return kept[0]
            raise
        self._pointers.set(key, (served, asked_at))
        return served
