"""A file beside documents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from automesh.core.errors import ValidationError
from services.doc.domain.documents.path import SUFFIX, file_path, key

_ESCAPED = re.compile(r"%(2f|5c|00)", re.IGNORECASE)
"""What some server on the way would take for a separator."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file at a path of a branch."""

    tenant_id: str
    space: str
    branch: str
    path: str
    content_type: str
    size: int
    sha256: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttachment:
    """A file whose bytes are stored under `blob`, and what its writer has seen at the path: empty for nothing."""

    tenant_id: str
    space: str
    branch: str
    path: str
    content_type: str
    size: int
    sha256: str
    blob: str
    created_by: str
    expected: str = ""


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Where the bytes of a content are."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Merged:
    """Paths that a merge brought over, and those that both sides had changed."""

    paths: Sequence[str] = ()
    conflicts: Sequence[str] = ()


EXPORT_MANIFEST = ".automesh-export.json"
"""At the top of exported archives: which content of each document they show."""


def attachment_path(path: str, *, field: str = "path") -> str:
    """The path as it is kept. Raises ValidationError; documents have ".md" to themselves."""
    kept = file_path(path, field=field)
    if kept.lower().endswith(SUFFIX):
        raise ValidationError(f"{kept[:100]!r} is the path of a document: save it as one", field=field)
    if kept.casefold() == EXPORT_MANIFEST:
        raise ValidationError(f"{kept!r} is the name of a file that exports bring themselves", field=field)
    if _ESCAPED.search(kept):
        raise ValidationError(f"{kept[:100]!r} has an escaped separator in it: write / as it is", field=field)
    return kept


def check_sha256(sha256: str, *, field: str = "expected_sha256") -> str:
    """In lower case; may be empty. Raises ValidationError."""
    lower = sha256.lower()
    if lower and not _SHA256.fullmatch(lower):
        raise ValidationError("a SHA-256 is 64 hexadecimal digits", field=field)
    return lower


def folder_keys(path: str) -> Sequence[str]:
    """The keys of all folders that the path is in."""
    parts = key(path).split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
