"""A file that was uploaded and waits to be processed; names of files; guesses of formats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from automesh.core.errors import ValidationError

MAX_NAME = 255
MAX_CHUNK = 1024 * 1024
CSV, JSONL, PARQUET, ARROW = "FILE_FORMAT_CSV", "FILE_FORMAT_JSONL", "FILE_FORMAT_PARQUET", "FILE_FORMAT_ARROW"
_BY_SUFFIX = {
    ".csv": CSV,
    ".tsv": CSV,
    ".txt": CSV,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".arrow": ARROW,
    ".feather": ARROW,
    ".ipc": ARROW,
}
_BY_MEDIA_TYPE = {
    "text/csv": CSV,
    "application/x-ndjson": JSONL,
    "application/jsonl": JSONL,
    "application/vnd.apache.parquet": PARQUET,
    "application/vnd.apache.arrow.file": ARROW,
}
_BY_MAGIC = ((b"PAR1", PARQUET), (b"ARROW1", ARROW), (b"{", JSONL))
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file of a tenant: where its bytes are (`blob`), how many, and until when."""

    upload_id: str
    tenant_id: str
    name: str
    format: str
    size: int
    sha256: str
    blob: str
    created_by: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """What an upload says of itself before its bytes come. `format` empty: guessed; `sha256` empty: not checked."""

    name: str
    format: str = ""
    sha256: str = ""
    media_type: str = ""

    def __post_init__(self) -> None:
        check_file_name(self.name)
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise ValidationError("sha256 is 64 hexadecimal digits in lower case", field="sha256")


def check_file_name(name: str) -> None:
    """Raises ValidationError unless it is a plain file name."""
    if not name or len(name) > MAX_NAME:
        raise ValidationError(f"an upload needs the file's name, of 1 to {MAX_NAME} characters", field="name")
    if not name.isprintable() or "/" in name or "\\" in name or name in {".", ".."}:
        raise ValidationError(f"{name[:80]!r} is no plain file name: no folders, no control characters", field="name")


def guessed_format(name: str, media_type: str, start: bytes) -> str:
    """The format that first bytes, name or media type suggest; empty when none does."""
    for magic, found in _BY_MAGIC[:2]:
        if start.startswith(magic):
            return found
    suffix = PurePosixPath(name.lower()).suffix
    by_type = _BY_MEDIA_TYPE.get(media_type.partition(";")[0].strip().lower(), "")
    return _BY_SUFFIX.get(suffix, "") or by_type or (JSONL if start.lstrip().startswith(b"{") else "")


def plain_name(name: str) -> str:
    """A name for a scratch folder that no shell and no file system minds; keeps the ending."""
    clean = _ODD.sub("_", name).strip(".")[-100:]
    return clean or "file"
