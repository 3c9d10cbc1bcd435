"""Files of a run and the checkpoints made of them: which are kept, which is the one to go on from. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from automesh.core.errors import ValidationError

MAX_FILES = 1000
"""Files of a run that are stored and not yet part of a checkpoint."""
MAX_FILE_NAME = 300
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.=-]{0,99}){0,7}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file; `blob` is where its bytes are."""

    name: str
    blob: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A whole checkpoint; names of files are relative to its folder."""

    folder: str
    step: int
    files: tuple[StoredFile, ...]
    best: bool = False
    damaged: bool = False


def check_file_name(name: str, *, field: str = "name") -> str:
    """The name itself. Raises ValidationError for anything but a plain relative path."""
    if len(name) > MAX_FILE_NAME or not _NAME.fullmatch(name):
        raise ValidationError(
            f"{name[:80]!r} is not a file name here: at most 8 parts of letters, digits, '_', '-', '=' and inner dots, "
            "joined by '/'",
            field=field,
        )
    return name


def check_digest(sha256: str, *, field: str) -> str:
    """The digest itself. Raises ValidationError unless it is 64 hexadecimal digits."""
    if not _SHA256.fullmatch(sha256):
        raise ValidationError(f"{field} is not a SHA-256: 64 lower-case hexadecimal digits", field=field)
    return sha256


def added(known: Sequence[Checkpoint], new: Checkpoint, keep_last: int) -> tuple[Checkpoint, ...]:
    """All that are kept once `new` is there: the last `keep_last` and the best, by step.

    One of the same folder is replaced: a training that went on from an earlier one wrote it again.
    """
    others = [each for each in known if each.folder != new.folder]
    if new.best:
        others = [replace(each, best=False) for each in others]
    ordered = sorted([*others, new], key=lambda each: (each.step, each.folder == new.folder))
    whole = [each for each in ordered if not each.damaged]
    kept = {each.folder for each in whole[-keep_last:]} | {each.folder for each in whole if each.best}
    return tuple(each for each in ordered if each.folder in kept)


def newest(known: Sequence[Checkpoint]) -> Checkpoint | None:
    """The one to go on from: the last that is not known to be damaged."""
    whole = [each for each in known if not each.damaged]
    return max(whole, key=lambda each: each.step, default=None)


def damaged(known: Sequence[Checkpoint], folders: Collection[str]) -> tuple[Checkpoint, ...]:
    """With these marked as damaged."""
    return tuple(replace(each, damaged=True) if each.folder in folders else each for each in known)
