"""A folder that is a copy of a space: what it was made from is written down in it, and nobody's changes are lost."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from automesh.cli.doc_places import MAIN
from automesh.cli.errors import CliError

RECORD = ".automesh-doc.json"


@dataclass(frozen=True, slots=True)
class Source:
    """What a folder is a copy of: a branch of a space, or what lies below a folder of it."""

    space: str
    branch: str = MAIN
    prefix: str = ""

    @classmethod
    def named(cls, space: str, branch: str, prefix: str) -> Self:
        """As commands are told of it."""
        return cls(space, branch or MAIN, prefix.strip("/"))


@dataclass(frozen=True, slots=True)
class Copy:
    """`files`: by path, the SHA-256 of what both sides had when they last met. A file that differs was changed here."""

    source: Source
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Self | None:
        """None for a folder that is no copy."""
        try:
            found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            source = Source(*(str(found[name]) for name in ("space", "branch", "prefix")))
            return cls(source, {str(path): str(digest) for path, digest in found["files"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def save(self, folder: Path) -> None:
        """All or nothing."""
        source = self.source
        said = {"space": source.space, "branch": source.branch, "prefix": source.prefix, "files": dict(self.files)}
        write(folder / RECORD, json.dumps(said, indent=1, sort_keys=True).encode())

    def met(self, files: Mapping[str, str], *, but: Iterable[str]) -> Self:
        """Once these files are there as well, all but some."""
        left = set(but)
        return replace(self, files={**self.files, **{path: each for path, each in files.items() if path not in left}})


def inside(folder: Path, path: str) -> Path:
    """The file of a path. Raises CliError for one that leads out of the folder."""
    target = folder / path
    if not target.resolve().is_relative_to(folder.resolve()):
        raise CliError(f"the path {path!r} of the archive leads out of {folder}")
    return target


def write(file: Path, content: bytes) -> None:
    """All or nothing: half a file would look like somebody's change."""
    fresh = file.with_name(f".automesh-doc.{os.getpid()}")
    try:
        fresh.write_bytes(content)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


def digest(file: Path) -> str:
    """Its SHA-256; empty for what is no file."""
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
