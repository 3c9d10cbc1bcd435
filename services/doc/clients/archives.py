"""Archives that were uploaded: zip and tar, looked through whole before anything is believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from services.doc.clients.archive_entries import Entries, Entry, refusing
from services.doc.clients.archive_limits import Meter
from services.doc.domain.attachments.attachment import EXPORT_MANIFEST
from services.doc.domain.documents.path import MAX_PATH
from services.doc.domain.jobs.job import Problem
from services.doc.domain.transfer.arrival import Arrival, Step, below, cleaned, ignored
from services.doc.domain.transfer.errors import ArchiveRefused

_BOM = b"\xef\xbb\xbf"
_TEXTS = (".md", ".markdown", ".mdown", ".mkd", ".mkdn")
_PIECE = 256 * 1024


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
                self._note(entry)
        if not self._arrivals and not self._problems:
            where = f"below {self._root!r} of the archive" if self._root else "in the archive"
            raise ArchiveRefused(f"no file is {where}: name another root, or pack it anew")

    def step(self) -> Step:
        """Everything. What cannot be taken is there all the same."""
        present = self._arrivals.keys() | {problem.path for problem in self._problems}
        return Step(arrivals=list(self._arrivals.values()), problems=self._problems, present=present)

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
        if path is None or (ignored(path) and path != EXPORT_MANIFEST):
            self._skip(entry)
            return
        if len(path) > MAX_PATH:
            entry = replace(
                entry, wrong=f"has a name of {len(path)} characters; at most {MAX_PATH} are taken: shorten it"
            )
        if entry.wrong:
            self._problems.append(Problem(path[:MAX_PATH], entry.wrong))
            return
        content = self._content(entry)
        if content is None:
            self._problems.append(
                Problem(path, f"has more than {self._meter.limits.max_file} bytes: divide it, or keep it elsewhere")
            )
        elif path == EXPORT_MANIFEST:
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


def _manifest(content: bytes) -> Mapping[str, str]:
    """Of an export; one that is not understood is left out: nothing depends on it but merges."""
    try:
        known = json.loads(content)["documents"]
        return {str(path): str(sha256) for path, sha256 in known.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
