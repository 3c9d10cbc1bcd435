"""Whether the files of a tantivy index are whole. A file that was cut must be noticed before it is read: it is mapped
into memory, and reading behind its end kills the process."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from services.doc.domain.search.errors import IndexDamaged

T = TypeVar("T")

_MAGIC = 1337
_TAIL = struct.Struct("<II")
_CHUNK = 1024 * 1024


def verify(folder: Path) -> None:
    """Reads every file of every segment once. Raises IndexDamaged."""
    for file in _files(folder):
        _verify(file)


def sizes(folder: Path) -> Mapping[Path, int]:
    """Of the files of all segments. Raises IndexDamaged."""
    found: dict[Path, int] = {}
    for file in _files(folder):
        try:
            found[file] = file.stat().st_size
        except FileNotFoundError:  # merged into another segment meanwhile
            continue
    return found


def last_commit(folder: Path) -> int:
    """Which one it was; merging segments is none. Raises IndexDamaged."""
    return _of_meta(folder, lambda meta: int(meta["opstamp"]))


def check(folders: Mapping[Path, Mapping[Path, int]]) -> None:
    """Quick: nothing is shorter than it was, and every index is still there. A file that is gone may have been merged,
    and whoever reads it keeps it. Raises IndexDamaged."""
    for folder, files in folders.items():
        if not (folder / "meta.json").exists():
            raise damaged(folder, "is gone")
        for file, size in files.items():
            try:
                if file.stat().st_size < size:
                    raise damaged(file, "was cut")
            except FileNotFoundError:
                continue


def damaged(path: Path, how: str) -> IndexDamaged:
    """With what happens next."""
    return IndexDamaged(f"{path.name} of the search index {how}: the index is built anew", path=path.name)


def _files(folder: Path) -> Iterator[Path]:
    for name in _of_meta(folder, lambda meta: [str(each["segment_id"]).replace("-", "") for each in meta["segments"]]):
        yield from folder.glob(f"{name}.*")


def _of_meta(folder: Path, read: Callable[[Any], T]) -> T:
    try:
        return read(json.loads((folder / "meta.json").read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder / "meta.json", "cannot be read") from error


def _verify(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            size = file.stat().st_size
            stream.seek(max(0, size - _TAIL.size))
            length, magic = _TAIL.unpack(stream.read(_TAIL.size))
            if magic != _MAGIC or length > size - _TAIL.size:
                raise damaged(file, "was cut")
            body = size - _TAIL.size - length
            stream.seek(body)
            wanted = json.loads(stream.read(length))["crc"]
            stream.seek(0)
            found = 0
            while body:
                chunk = stream.read(min(_CHUNK, body))
                found, body = zlib.crc32(chunk, found), body - len(chunk)
    except FileNotFoundError:  # merged meanwhile; if it was not, opening the index says so
        return
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise damaged(file, "cannot be read") from error
    if found != wanted:
        raise damaged(file, "was altered")
