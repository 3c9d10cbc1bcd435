"""Opens what was uploaded, whatever it is, and packs what goes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from automesh.storage.blobs import BlobStore
from services.doc.clients import archive_entries
from services.doc.clients.archive_entries import Entries
from services.doc.clients.archive_limits import ArchiveLimits, Meter
from services.doc.clients.archive_writer import packed
from services.doc.clients.archives import ArchiveSource
from services.doc.clients.git_bundle import bundled
from services.doc.clients.git_source import SIGNATURES, GitSource
from services.doc.clients.scratch import SealedScratch
from services.doc.domain.transfer.arrival import Arrival, Step
from services.doc.domain.transfer.errors import ArchiveRefused
from services.doc.domain.transfer.ports import PackedCommit, PackedFile, Source

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP, _ZSTD, _TAR, _TAR_AT = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"ustar", 257
_DELTAS = 8
"""Objects of git that are kept as differences unpack to so many times what others may."""


class BlobSources:
    """A services.doc.domain.transfer.ports.Sources."""

    def __init__(self, blobs: BlobStore, folder: Path, limits: ArchiveLimits) -> None:
        self._blobs, self._folder, self._limits = blobs, folder, limits

    @asynccontextmanager
    async def open(self, blob: str, root: str) -> AsyncGenerator[Source]:
        scratch = SealedScratch(self._folder)
        meter = Meter(self._limits, 0)
        try:
            async for chunk in self._blobs.get(blob):
                await asyncio.to_thread(scratch.append, chunk)
            meter.packed = scratch.size
            source = await asyncio.to_thread(_opened, scratch, meter, root)
            yield source
        finally:
            meter.stop.set()
            scratch.close()


class ArchivePacker:
    """A services.doc.domain.transfer.ports.Packer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def archive(self, format: str, files: AsyncIterator[PackedFile]) -> AsyncIterator[bytes]:
        return packed(format, files)

    def bundle(self, commits: AsyncIterator[PackedCommit], branch: str) -> AsyncIterator[bytes]:
        return bundled(commits, branch, self._folder)


class _Files:
    """An ArchiveSource that is read in a thread."""

    def __init__(self, source: ArchiveSource) -> None:
        self._source = source
        self.total, self.bases = source.total, source.bases

    async def steps(self, after: str) -> AsyncIterator[Step]:
        yield self._source.step()

    async def contents(self, arrivals: Sequence[Arrival]) -> Sequence[bytes]:
        return await asyncio.to_thread(self._source.read, arrivals)


def _opened(scratch: SealedScratch, meter: Meter, root: str) -> Source:
    start = scratch.read_at(0, 512)
    if start.startswith(SIGNATURES):
        limits = meter.limits
        meter.limits = replace(limits, max_unpacked=limits.max_unpacked * _DELTAS, max_ratio=10**9)
        git = GitSource(scratch, meter, root)
        git.scan()
        return git
    source = ArchiveSource(_entries(start, scratch, meter), meter, root)
    source.scan()
    return _Files(source)


def _entries(start: bytes, scratch: SealedScratch, meter: Meter) -> Entries:
    if start.startswith(_ZIP):
        return archive_entries.zip_entries(scratch, meter)
    if start.startswith(_GZIP):
        return archive_entries.tar_entries(scratch, archive_entries.gunzipped, meter)
    if start.startswith(_ZSTD):
        return archive_entries.tar_entries(scratch, archive_entries.unzstd, meter)
    if start[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return archive_entries.tar_entries(scratch, archive_entries.plain, meter)
    raise ArchiveRefused("this is no zip, tar, tar.gz, tar.zst nor git bundle: send one of those")
