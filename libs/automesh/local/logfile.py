"""A log file that several writers append to, kept small by its owner.

Processes write to the file itself, not to a pipe: nothing is lost and nobody blocks when the supervisor is busy or
dead. So it is copied and cut in place rather than renamed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LIMIT_BYTES = 5 * 1024 * 1024
KEPT = 3
"""Files in all: name.log, name.log.1 and name.log.2."""

_BLOCK = 64 * 1024


class LogFile:
    """`path`, with its older parts beside it."""

    def __init__(self, path: Path, *, limit_bytes: int = LIMIT_BYTES, kept: int = KEPT) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._kept = kept

    def open(self) -> BinaryIO:
        """For appending; readable by the owner alone. Cutting the file does not disturb who holds it open."""
        return open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)

    def trim(self) -> bool:
        """Moves the content to the older parts once it is larger than the limit. Says whether it did."""
        if not self.path.exists() or self.path.stat().st_size <= self._limit_bytes:
            return False
        for number in range(self._kept - 1, 1, -1):
            with suppress(FileNotFoundError):
                self._part(number - 1).replace(self._part(number))
        try:
            self._copy_to(self._part(1))
        except OSError:  # a full disk: being bounded comes first
            self._part(1).unlink(missing_ok=True)
        os.truncate(self.path, 0)
        return True

    def parts(self) -> list[Path]:
        """Oldest first, the file itself last; only those that exist."""
        return [part for number in range(self._kept - 1, -1, -1) if (part := self._part(number)).exists()]

    def tail(self, lines: int) -> list[str]:
        """The last lines, over all parts."""
        found: list[str] = []
        for part in reversed(self.parts()):
            found = [*_last_lines(part, lines - len(found)), *found]
            if len(found) >= lines:
                break
        return found

    def _part(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def _copy_to(self, target: Path) -> None:
        # Only the newest part of a file that grew far beyond the limit between two looks.
        with self.path.open("rb") as source, target.open("wb") as copy:
            os.fchmod(copy.fileno(), 0o600)
            size = os.fstat(source.fileno()).st_size
            if size > 2 * self._limit_bytes:
                source.seek(size - self._limit_bytes)
                source.readline()
            shutil.copyfileobj(source, copy, _BLOCK)


def _last_lines(path: Path, count: int) -> list[str]:
    if count <= 0:
        return []
    pieces: list[bytes] = []
    newlines = 0
    for block in _blocks_backwards(path):
        pieces.append(block)
        newlines += block.count(b"\n")
        if newlines > count:
            break
    return b"".join(reversed(pieces)).decode(errors="replace").splitlines()[-count:]


def _blocks_backwards(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            yield file.read(end - start)
            end = start
