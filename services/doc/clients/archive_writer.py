"""Archives on their way out: made piece by piece, nothing kept."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Protocol

from services.doc.domain.transfer.asked import TAR_GZ, ZIP
from services.doc.domain.transfer.ports import PackedFile

_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
"""Of zip."""
_AT_ONCE = 1024 * 1024


class _Writer(Protocol):
    def add(self, path: str, modified_at: datetime, content: bytes) -> None: ...

    def close(self) -> None: ...


async def packed(format: str, files: AsyncIterator[PackedFile]) -> AsyncIterator[bytes]:
    """The archive in chunks of some size. `format` is ZIP or TAR_GZ."""
    sink = _Sink()
    writer = _WRITERS[format](sink)
    async for file in files:
        content = await _whole(file)
        await asyncio.to_thread(writer.add, file.path, file.modified_at, content)
        if sink.held >= _AT_ONCE:
            yield sink.take()
    await asyncio.to_thread(writer.close)
    yield sink.take()


async def _whole(file: PackedFile) -> bytes:
    """Attachments are of bounded size, and an archive says the size of a file before the file."""
    if isinstance(file.content, bytes):
        return file.content
    return b"".join([chunk async for chunk in file.content])


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken. It cannot go back, and says so."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.held = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload] # any buffer
        self._pieces.append(piece)
        self.held += len(piece)
        return len(piece)

    def take(self) -> bytes:
        taken, self._pieces, self.held = b"".join(self._pieces), [], 0
        return taken


class _Zip:
    def __init__(self, sink: _Sink) -> None:
        self._archive = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED)

    def add(self, path: str, modified_at: datetime, content: bytes) -> None:
        info = zipfile.ZipInfo(path, max(modified_at, _EARLIEST).timetuple()[:6])
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
        self._archive.writestr(info, content)

    def close(self) -> None:
        self._archive.close()


class _TarGz:
    def __init__(self, sink: _Sink) -> None:
        self._gzip = gzip.GzipFile(fileobj=sink, mode="wb", mtime=0)
        self._archive = tarfile.open(fileobj=self._gzip, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed at the end of the archive

    def add(self, path: str, modified_at: datetime, content: bytes) -> None:
        info = tarfile.TarInfo(path)
        info.size, info.mode, info.mtime = len(content), 0o644, int(modified_at.timestamp())
        self._archive.addfile(info, io.BytesIO(content))

    def close(self) -> None:
        self._archive.close()
        self._gzip.close()


_WRITERS: dict[str, Callable[[_Sink], _Writer]] = {ZIP: _Zip, TAR_GZ: _TarGz}
