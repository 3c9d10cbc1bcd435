"""How a release comes to be: read at one moment, built by the program, kept, switched to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Protocol

from automesh.core.errors import AutomationError, Kind
from services.doc.domain.attachments.attachment import Attachment
from services.doc.domain.publishing.addresses import SiteAddresses
from services.doc.domain.publishing.errors import BuildFailed, ReleaseLost
from services.doc.domain.publishing.ports import (
    Progress,
    Read,
    ReleaseQueue,
    SiteBuilder,
    SiteContents,
    SiteSource,
    SiteSources,
)
from services.doc.domain.publishing.site import Release, ReleaseFile

LEASE_S = 20.0
RENEW_EVERY_S = 5.0
TOLD_EVERY_S = 0.3
TEXTS_AT_ONCE, BYTES_AT_ONCE = 100, 8 * 1024 * 1024
"""Texts that are in memory at once."""
MAX_PAGES, MAX_BYTES = 50_000, 1024**3
ATTACHMENTS_AT_ONCE, MAX_ATTACHMENTS = 1000, 100_000


class Texts(Protocol):
    """Bodies of documents by their hashes: see DocumentStore."""

    async def contents(self, tenant_id: str, sha256: Sequence[str]) -> Mapping[str, str]:
        """Several at once."""
        ...


class AttachmentList(Protocol):
    """Attachments of a branch: see AttachmentStore."""

    async def list(
        self, tenant_id: str, space: str, branch: str, *, prefix: str, limit: int, after: str
    ) -> Sequence[Attachment]:
        """A page by path."""
        ...


class AttachmentBytes(Protocol):
    """See AttachmentShelf."""

    def read(self, tenant_id: str, sha256: str) -> AsyncIterator[bytes]:
        """In chunks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What building needs."""

    queue: ReleaseQueue
    sources: SiteSources
    texts: Texts
    attachments: AttachmentList
    shelf: AttachmentBytes
    builder: SiteBuilder
    contents: SiteContents
    addresses: SiteAddresses


class ReleaseMaker:
    """Builds one release at a time."""

    def __init__(self, ground: Ground, *, lease_s: float = LEASE_S) -> None:
        self._ground, self._lease_s = ground, lease_s

    async def step(self) -> Release | None:
        """Claims a release and brings it to its end; None: there was none to build.

        One that another process has taken over, or that the end of this one cuts off, is left to the others.
        """
        release = await self._ground.queue.claim(self._lease_s)
        if release is None:
            return None
        try:
            await self._kept_alive(release)
        except asyncio.CancelledError:
            with suppress(AutomationError, TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._ground.queue.let_go(release)), 2.0)
            raise
        except ReleaseLost:
            return release
        except AutomationError as error:
            if error.kind is Kind.UNAVAILABLE:
                raise  # its lease runs out, and then it is tried again
            await self._ground.queue.fail(release, error.message)
        return release

    async def _kept_alive(self, release: Release) -> None:
        """Builds while the lease is renewed; whichever ends first ends the other."""
        telling = _Telling(self._ground.queue, release, self._lease_s)
        renewing = asyncio.create_task(telling.keep())
        making = asyncio.create_task(self._make(release, telling))
        try:
            await asyncio.wait([renewing, making], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (renewing, making):
                if not task.done():
                    task.cancel()
            await asyncio.gather(renewing, making, return_exceptions=True)
        if not making.cancelled():
            making.result()
        else:
            renewing.result()

    async def _make(self, release: Release, telling: _Telling) -> None:
        ground, tenant_id = self._ground, release.tenant_id
        await telling.tell(Progress("reading the documents", 0.0))
        source = await ground.sources.read(tenant_id, release.space, release.branch)
        _check_size(source)
        attachments = await self._attachments(release)
        job: dict[str, object] = {
            "title": source.title,
            "theme": source.theme,
            "accent": source.accent,
            "description": source.description,
            "url": "" if release.preview else ground.addresses.site(tenant_id, release.space),
            "pages": list(source.pages),
            "files": attachments,
            "moved": list(source.moved),
        }
        texts = self._texts(tenant_id, source.texts)
        async with aclosing(texts), ground.builder.build(job, texts, telling.tell) as (built, read):
            if built.failure:
                await ground.queue.fail(release, built.failure, built.checks)
                return
            await telling.tell(Progress("keeping the files", 0.9))
            await ground.contents.keep(tenant_id, built.files, self._reading(tenant_id, read))
            await ground.queue.finish(release, built)

    async def _texts(self, tenant_id: str, wanted: Sequence[tuple[str, int]]) -> AsyncGenerator[Sequence[str]]:
        for lot in _lots(wanted):
            found = await self._ground.texts.contents(tenant_id, lot)
            yield [found[each] for each in lot]

    async def _attachments(self, release: Release) -> list[dict[str, object]]:
        files: list[dict[str, object]] = []
        after = ""
        while True:
            page = await self._ground.attachments.list(
                release.tenant_id, release.space, release.branch, prefix="", limit=ATTACHMENTS_AT_ONCE, after=after
            )
            files += [
                {"path": each.path, "sha256": each.sha256, "size": each.size, "content_type": each.content_type}
                for each in page
            ]
            if len(files) > MAX_ATTACHMENTS:
                raise BuildFailed(
                    f"a site can have {MAX_ATTACHMENTS} attachments, the branch has more: divide the space"
                )
            if len(page) < ATTACHMENTS_AT_ONCE:
                return files
            after = page[-1].path

    def _reading(self, tenant_id: str, made: Read) -> Read:
        def read(file: ReleaseFile) -> AsyncIterator[bytes]:
            return self._ground.shelf.read(tenant_id, file.sha256) if file.attachment else made(file)

        return read


def _check_size(source: SiteSource) -> None:
    size = sum(each for _, each in source.texts)
    if len(source.texts) > MAX_PAGES or size > MAX_BYTES:
        raise BuildFailed(
            f"{len(source.texts)} documents of {size} bytes are more than a site can have ({MAX_PAGES}, {MAX_BYTES} "
            "bytes): divide the space"
        )


def _lots(wanted: Sequence[tuple[str, int]]) -> Iterator[Sequence[str]]:
    lot: list[str] = []
    weight = 0
    for sha256, size in wanted:
        if lot and (len(lot) == TEXTS_AT_ONCE or weight + size > BYTES_AT_ONCE):
            yield lot
            lot, weight = [], 0
        lot.append(sha256)
        weight += size
    if lot:
        yield lot


class _Telling:
    """Says how far a build is, not too often, and keeps its lease."""

    def __init__(self, queue: ReleaseQueue, release: Release, lease_s: float) -> None:
        self._queue, self._release, self._lease_s = queue, release, lease_s
        self._progress = Progress("", 0.0)
        self._told_at = 0.0

    async def tell(self, progress: Progress) -> None:
        """Raises ReleaseLost."""
        new = progress.step.partition(" ")[0] != self._progress.step.partition(" ")[0]
        self._progress = progress
        if new or time.monotonic() - self._told_at >= TOLD_EVERY_S:
            await self._renew()

    async def keep(self) -> None:
        """Until cancelled. Raises ReleaseLost; a database that is away for a moment does no harm."""
        while True:
            await asyncio.sleep(min(RENEW_EVERY_S, self._lease_s / 3))
            try:
                await self._renew()
            except AutomationError as error:
                if error.kind is not Kind.UNAVAILABLE:
                    raise

    async def _renew(self) -> None:
        self._told_at = time.monotonic()
        await self._queue.renew(self._release, self._progress, self._lease_s)
