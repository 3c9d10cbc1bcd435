"""The entries of zip and tar archives, one after the other, each with why it cannot be taken."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Protocol, cast

import zstandard

from services.doc.clients.archive_limits import MIB, Meter
from services.doc.clients.scratch import SealedScratch
from services.doc.domain.transfer.errors import ArchiveRefused

_PIECE = 256 * 1024
_MAX_HEADER = MIB
_END = 1024
_LINK = 0o120000
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Of zip: what the others unpack to cannot be bounded while it is read."""
_DIRECTORY, _DIRECTORY_ENTRY = b"PK\x01\x02", 46
_DIGITS = re.compile(rb"[0-9]{1000}")
"""No pax header has a number so long, and tarfile would take time by its square to see that."""
_HEADERS = frozenset({
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive. `wrong`: why it cannot be taken."""

    index: int
    name: str
    read: Callable[[], IO[bytes]]
    wrong: str = ""


class Entries(Protocol):
    """All of an archive, in its order; each is read before the next one is asked for."""

    def __call__(self) -> Iterator[Entry]:
        """From the beginning."""
        ...


def zip_entries(scratch: SealedScratch, meter: Meter) -> Entries:
    """Of a zip archive. Raises ArchiveRefused."""
    with refusing():
        _count_zip(scratch, meter)
        archive = zipfile.ZipFile(scratch.view())

    def entries() -> Iterator[Entry]:
        for index, info in enumerate(archive.infolist()):
            if not info.is_dir():
                yield Entry(index, _zip_name(info), partial(archive.open, info), _zip_wrong(info))

    return entries


def tar_entries(scratch: SealedScratch, unpacked: Callable[[IO[bytes]], IO[bytes]], meter: Meter) -> Entries:
    """Of a tar archive behind a compression."""

    def entries() -> Iterator[Entry]:
        stream = _Tail(unpacked(scratch.view()), Meter(meter.limits, meter.packed, meter.stop))
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_TarInfo, errors="surrogateescape") as archive:
            for index, info in enumerate(archive):
                meter.entry(index + 1)
                archive.members = []  # type: ignore[attr-defined] # it would remember all of them
                if not info.isdir():
                    yield Entry(index, info.name, partial(_tar_file, archive, info), _tar_wrong(info))
            stream.finish()

    return entries


def plain(file: IO[bytes]) -> IO[bytes]:
    """No compression."""
    return file


def gunzipped(file: IO[bytes]) -> IO[bytes]:
    """Of gzip."""
    return cast(IO[bytes], gzip.GzipFile(fileobj=file))


def unzstd(file: IO[bytes]) -> IO[bytes]:
    """Of zstd; a frame that asks for more than 128 MiB of memory is refused."""
    return zstandard.ZstdDecompressor(max_window_size=128 * MIB).stream_reader(file, read_across_frames=True)


@contextmanager
def refusing() -> Iterator[None]:
    """What readers of archives raise, as what to do about it."""
    try:
        yield
    except ArchiveRefused:
        raise
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError, IndexError) as error:
        raise ArchiveRefused(f"the archive is broken or cut ({error}): pack and send it again") from error
    except (NotImplementedError, RuntimeError) as error:
        raise ArchiveRefused(f"the archive cannot be read ({error}): pack it with plain zip or tar") from error
    except zstandard.ZstdError as error:
        raise ArchiveRefused(f"the archive is broken or cut ({error}): pack and send it again") from error


class _Tail(io.RawIOBase):
    """A stream whose end is looked at: a tar archive ends with two empty blocks, one that was cut does not."""

    def __init__(self, stream: IO[bytes], meter: Meter) -> None:
        self._stream, self._meter, self._tail = stream, meter, b""

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._meter.bytes(len(data))
        self._tail = (self._tail + data)[-_END:]
        return data

    def finish(self) -> None:
        """Raises TarError for an archive that does not end."""
        while self.read(_PIECE):
            pass
        if self._tail.strip(b"\x00") or len(self._tail) < _END:
            raise tarfile.ReadError("its end is missing")


class _TarInfo(tarfile.TarInfo):
    """Headers that go on for megabytes are refused: they would be read into memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in _HEADERS and self.size > _MAX_HEADER:
            raise tarfile.ReadError(f"a header has {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc] # typeshed does not know it

    def _proc_pax(self, archive: tarfile.TarFile) -> Any:
        stream: Any = archive.fileobj
        header = stream.read(-(-self.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
        if _DIGITS.search(header):
            raise tarfile.ReadError("a header is nothing but digits")
        stream.buf, stream.pos = header + stream.buf, stream.pos - len(header)  # to be read again
        return super()._proc_pax(archive)  # type: ignore[misc] # typeshed does not know it


def _count_zip(scratch: SealedScratch, meter: Meter) -> None:
    """Before zipfile has all entries in memory. What is no directory is left to its complaints."""
    reader: Any = zipfile  # typeshed does not know how it finds the directory
    end = reader._EndRecData(scratch.view())
    if not end:
        return
    large = end[reader._ECD_SIGNATURE] == reader.stringEndArchive64
    between = reader.sizeEndCentDir64 + reader.sizeEndCentDir64Locator if large else 0
    file, count = scratch.view(max(0, end[reader._ECD_LOCATION] - end[reader._ECD_SIZE] - between)), 0
    while (head := file.read(_DIRECTORY_ENTRY)).startswith(_DIRECTORY) and len(head) == _DIRECTORY_ENTRY:
        meter.entry(count := count + 1)
        file.seek(sum(int.from_bytes(head[at : at + 2], "little") for at in (28, 30, 32)), io.SEEK_CUR)


def _tar_file(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    if file is None:
        raise tarfile.ReadError(f"{info.name} has no content")
    return file


def _tar_wrong(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "is a link: put the file itself into the archive"
    return "" if info.isreg() else "is neither a file nor a folder: leave it out"


def _zip_wrong(info: zipfile.ZipInfo) -> str:
    if (info.external_attr >> 16) & 0o170000 == _LINK:
        return "is a link: put the file itself into the archive"
    if "\x00" in info.orig_filename:
        return "has a NUL character in its name: rename it"
    if info.flag_bits & 1:
        raise ArchiveRefused("the archive is encrypted with a password: pack it without one")
    if info.compress_type not in _METHODS:
        raise ArchiveRefused("the archive is packed by another method than deflate: pack it with plain zip or tar")
    return ""


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Many programs write UTF-8 and do not say so."""
    if info.flag_bits & 0x800 or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename
