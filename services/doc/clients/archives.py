"""Archives that were uploaded: zip and tar, looked through whole before anything is believed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

import zstandard

from services.doc.clients.scratch import SealedScratch
from services.doc.domain.jobs.job import Problem
from services.doc.domain.transfer.arrival import MANIFEST, Arrival, Step, below, cleaned, ignored
from services.doc.domain.transfer.errors import ArchiveRefused

MIB = 1024**2
_BOM = b"\xef\xbb\xbf"
_TEXTS = (".md", ".markdown", ".mdown", ".mkd", ".mkdn")
_PIECE = 256 * 1024
_FREE_BYTES = 10 * MIB
"""A small archive may unpack to as much whatever its ratio."""
_MAX_HEADER = MIB
_END = 1024
_LINK = 0o120000
_HEADERS = frozenset({
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """What an archive may unpack to. `max_ratio`: bytes for each of its own."""

    max_unpacked: int
    max_file: int
    max_entries: int = 100_000
    max_ratio: int = 200


@dataclass(slots=True)
class Meter:
    """Counts what comes out of an archive. `stop` ends the work of a thread that nobody waits for any more."""

    limits: ArchiveLimits
    packed: int
    stop: threading.Event = field(default_factory=threading.Event)
    entries: int = 0
    unpacked: int = 0

    def entry(self) -> None:
        """One more. Raises ArchiveRefused."""
        self.entries += 1
        if self.entries > self.limits.max_entries:
            raise ArchiveRefused(f"the archive has more than {self.limits.max_entries} entries: import it in parts")

    def bytes(self, count: int) -> None:
        """So many more. Raises ArchiveRefused."""
        if self.stop.is_set():
            raise ArchiveRefused("the import has ended")
        self.unpacked += count
        if self.unpacked > self.limits.max_unpacked:
            raise ArchiveRefused(
                f"the archive unpacks to more than {self.limits.max_unpacked} bytes (doc_max_unpacked_bytes): import "
                "it in parts",
                limit=self.limits.max_unpacked,
            )
        if self.unpacked > _FREE_BYTES and self.unpacked > self.limits.max_ratio * self.packed:
            raise ArchiveRefused(
                f"the archive unpacks to more than {self.limits.max_ratio} times its size: no documentation does; pack "
                "it anew",
                ratio=self.limits.max_ratio,
            )


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


class ArchiveSource:
    """A services.doc.domain.transfer.ports.Source of one step."""

    def __init__(self, entries: Entries, meter: Meter, root: str) -> None:
        self._entries, self._meter, self._root = entries, meter, root
        self._arrivals: dict[str, Arrival] = {}
        self._problems: list[Problem] = []
        self._bases: Mapping[str, str] = {}
        self._open: Iterator[Entry] = iter(())
        self._next = 0

    @property
    def total(self) -> int:
        return len(self._arrivals) + len(self._problems)

    @property
    def bases(self) -> Mapping[str, str]:
        return self._bases

    def scan(self) -> None:
        """Looks at every byte, so that what is broken is known before anything is written. Raises ArchiveRefused."""
        with refusing():
            for entry in self._entries():
                self._meter.entry()
                self._note(entry)
        if not self._arrivals and not self._problems:
            where = f"below {self._root!r} of the archive" if self._root else "in the archive"
            raise ArchiveRefused(f"no file is {where}: name another root, or pack it anew")

    def step(self) -> Step:
        """Everything."""
        return Step(arrivals=list(self._arrivals.values()), problems=self._problems, present=self._arrivals.keys())

    def read(self, arrivals: Sequence[Arrival]) -> Sequence[bytes]:
        """In their order, which must be that of the archive."""
        found = []
        with refusing():
            for arrival in arrivals:
                entry = self._entry(int(arrival.token))
                with entry.read() as file:
                    found.append(normal(arrival.path, file.read(self._meter.limits.max_file + 1)))
        return found

    def _entry(self, index: int) -> Entry:
        if index < self._next:
            self._next = 0
        if self._next == 0:
            self._open = self._entries()
        for entry in self._open:
            self._next = entry.index + 1
            if entry.index == index:
                return entry
        raise ArchiveRefused("the archive is not what it was a moment ago")

    def _note(self, entry: Entry) -> None:
        name = cleaned(entry.name)
        path = below(name, self._root)
        if path is None or (ignored(path) and path != MANIFEST):
            self._skip(entry)
            return
        if entry.wrong:
            self._problems.append(Problem(path, entry.wrong))
            return
        content = self._content(entry)
        if content is None:
            self._problems.append(
                Problem(path, f"has more than {self._meter.limits.max_file} bytes: divide it, or keep it elsewhere")
            )
        elif path == MANIFEST:
            self._bases = _manifest(content)
        else:
            self._add(entry, path, normal(path, content))

    def _add(self, entry: Entry, path: str, content: bytes) -> None:
        if path in self._arrivals:
            self._problems.append(Problem(path, "stands in the archive twice: the last one was taken"))
            del self._arrivals[path]
        digest = hashlib.sha256(content).hexdigest()
        self._arrivals[path] = Arrival(path=path, token=str(entry.index), size=len(content), sha256=digest)

    def _content(self, entry: Entry) -> bytes | None:
        """None when it is too large."""
        content = bytearray()
        with entry.read() as file:
            while piece := file.read(_PIECE):
                self._meter.bytes(len(piece))
                content += piece
                if len(content) > self._meter.limits.max_file:
                    return None
        return bytes(content)

    def _skip(self, entry: Entry) -> None:
        """Counted all the same: what is left out is unpacked too."""
        if not entry.wrong:
            with entry.read() as file:
                while piece := file.read(_PIECE):
                    self._meter.bytes(len(piece))


def normal(path: str, content: bytes) -> bytes:
    """A text without the mark that some editors put before it."""
    return content.removeprefix(_BOM) if path.lower().endswith(_TEXTS) else content


def zip_entries(scratch: SealedScratch) -> Entries:
    """Of a zip archive. Raises ArchiveRefused."""
    with refusing():
        archive = zipfile.ZipFile(scratch.view())

    def entries() -> Iterator[Entry]:
        for index, info in enumerate(archive.infolist()):
            if not info.is_dir():
                yield Entry(index, _zip_name(info), lambda info=info: archive.open(info), _zip_wrong(info))  # type: ignore[misc]

    return entries


def tar_entries(scratch: SealedScratch, unpacked: Callable[[IO[bytes]], IO[bytes]], meter: Meter) -> Entries:
    """Of a tar archive behind a compression."""

    def entries() -> Iterator[Entry]:
        stream = _Tail(unpacked(scratch.view()), Meter(meter.limits, meter.packed, meter.stop))
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_TarInfo, errors="surrogateescape") as archive:
            for index, info in enumerate(archive):
                if not info.isdir():
                    yield Entry(index, info.name, lambda info=info: _tar_file(archive, info), _tar_wrong(info))  # type: ignore[misc]
            stream.finish()

    return entries


def plain(file: IO[bytes]) -> IO[bytes]:
    """No compression."""
    return file


def gunzipped(file: IO[bytes]) -> IO[bytes]:
    """Of gzip."""
    return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]


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
        return super()._proc_member(archive)  # type: ignore[misc]


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
    return ""


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Many programs write UTF-8 and do not say so."""
    if info.flag_bits & 0x800 or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _manifest(content: bytes) -> Mapping[str, str]:
    """Of an export; one that is not understood is left out: nothing depends on it but merges."""
    try:
        known = json.loads(content)["documents"]
        return {str(path): str(sha256) for path, sha256 in known.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
