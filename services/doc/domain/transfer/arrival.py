"""Files on their way in: what a source brings, step by step, and which of its names are taken."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import PurePosixPath

from automesh.core.errors import ValidationError
from services.doc.domain.attachments.attachment import EXPORT_MANIFEST
from services.doc.domain.documents.path import SUFFIX, file_path
from services.doc.domain.jobs.job import Problem

_OTHER_SUFFIXES = (".markdown", ".mdown", ".mkd", ".mkdn")
_IGNORED_FOLDERS = frozenset({".git", "__MACOSX"})
_IGNORED_NAMES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", EXPORT_MANIFEST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A file that a source has. `token` says where in it; `sha256` is that of its bytes."""

    path: str
    token: str
    size: int
    sha256: str
    base: str = ""
    """SHA-256 of what it was made from, where the source knows it."""
    moved_from: str = ""
    """The path that it had in the step before, where the source knows it."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A file that the step takes away, and the SHA-256 of what it was."""

    path: str
    base: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a source brings in one go: an archive everything at once, a history one commit after the other."""

    arrivals: Sequence[Arrival]
    departures: Sequence[Departure] = ()
    problems: Sequence[Problem] = ()
    message: str = ""
    """Empty: the import's own."""
    co_authors: Sequence[str] = ()
    commit: str = ""
    present: Set[str] | None = None
    """Every path that the source has at its end; None while it is not there yet."""


@dataclass(frozen=True, slots=True)
class Named:
    """Where an arrival goes. `renamed`: its own suffix is not one of documents here."""

    path: str
    document: bool
    renamed: bool = False


def ignored(path: str) -> bool:
    """What tools leave behind, and what is no file of the documentation."""
    parts = PurePosixPath(path).parts
    return any(part in _IGNORED_FOLDERS for part in parts) or (bool(parts) and parts[-1] in _IGNORED_NAMES)


def below(path: str, root: str) -> str | None:
    """The path below the folder `root` ("" or "a/b/"); None for one that lies elsewhere."""
    return path[len(root) :] if path.startswith(root) and len(path) > len(root) else None


def cleaned(path: str) -> str:
    """As tar writes it, "./a.md" is "a.md"."""
    while path.startswith("./"):
        path = path[2:]
    return path


def named(path: str, prefix: str) -> Named:
    """Where a file goes below `prefix` ("" or "a/b/"). Raises ValidationError, which says how to mend the name."""
    if path.startswith("/"):
        raise ValidationError("the name begins with /: pack the files with names that count from their folder")
    target = file_path(f"{prefix}{path}")
    lower = target.lower()
    for suffix in _OTHER_SUFFIXES:
        if lower.endswith(suffix):
            return Named(f"{target[: -len(suffix)]}{SUFFIX}", document=True, renamed=True)
    return Named(target, document=lower.endswith(SUFFIX))
