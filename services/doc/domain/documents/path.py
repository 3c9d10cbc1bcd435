"""Paths of documents and attachments: which are allowed, when two are the same, and where a link leads."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import unquote

from automesh.core.errors import ValidationError

MAX_PATH = 400
MAX_PART = 120
MAX_DEPTH = 20
SUFFIX = ".md"
INDEX_NAMES = ("index.md", "readme.md")
_ESCAPED_SLASH = re.compile("%2f", re.IGNORECASE)
_FORBIDDEN = set('\\:*?"<>|')
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(1, 10))}
)


def document_path(path: str, *, field: str = "path") -> str:
    """The path as it is kept, with the suffix ".md". Raises ValidationError."""
    checked = file_path(path, field=field)
    if not PurePosixPath(checked).name.lower().removesuffix(SUFFIX):
        raise ValidationError(f"the path {checked[:100]!r} lacks the document's own name", field=field)
    return checked if checked.lower().endswith(SUFFIX) else f"{checked}{SUFFIX}"


def file_path(path: str, *, field: str = "path") -> str:
    """The path in Unicode's form NFC. Raises ValidationError for one that some file system could not have."""
    # The gateway leaves an escaped slash in a path of several parts as it is, and many clients escape all of them.
    kept = unicodedata.normalize("NFC", _ESCAPED_SLASH.sub("/", path))
    if not kept:
        raise ValidationError("a path is required, for example guides/start.md", field=field)
    if len(kept) > MAX_PATH:
        raise ValidationError(f"the path has {len(kept)} characters; at most {MAX_PATH} are allowed", field=field)
    parts = kept.split("/")
    if len(parts) > MAX_DEPTH:
        raise ValidationError(f"the path has {len(parts)} levels; at most {MAX_DEPTH} are allowed", field=field)
    for part in parts:
        _check_part(part, kept, field)
    if any(part.lower().endswith(SUFFIX) for part in parts[:-1]):
        raise ValidationError(
            f"the path {kept[:100]!r} has a folder that ends with {SUFFIX}, as documents do: no disk could hold both",
            field=field,
        )
    return kept


def _check_part(part: str, path: str, field: str) -> None:
    wrong = ""
    if not part:
        wrong = "has an empty part: it must not begin or end with / nor contain //"
    elif part in {".", ".."}:
        wrong = f"contains {part!r}: write where the document is, from the top of the space"
    elif len(part) > MAX_PART:
        wrong = f"has a part of {len(part)} characters; at most {MAX_PART} are allowed"
    elif bad := next(
        (char for char in part if char in _FORBIDDEN or unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}),
        "",
    ):
        wrong = f"contains {bad!r}, which some file systems cannot have"
    elif part != part.strip() or part.endswith("."):
        wrong = f"has the part {part!r}, which begins or ends with a space, or ends with a dot"
    elif part.partition(".")[0].casefold() in _RESERVED:
        wrong = f"has the part {part!r}, a name that Windows keeps for devices"
    if wrong:
        raise ValidationError(f"the path {path[:100]!r} {wrong}", field=field)


def key(path: str) -> str:
    """Equal for paths that differ only in case, which cannot both be there."""
    return unicodedata.normalize("NFC", path.casefold())


def folder_prefix(prefix: str, *, field: str = "prefix") -> str:
    """A folder as "a/b/", or empty for the top. Raises ValidationError."""
    stripped = prefix.strip("/")
    return f"{file_path(stripped, field=field)}/" if stripped else ""


def target_of(link: str, source: str) -> tuple[str, str] | None:
    """Path and anchor that a link in the document `source` leads to; None for one that leads out of the space.

    "/a.md" counts from the top of the space, "a.md" from the folder of `source`, "#x" stays in `source`.
    """
    if not link or link.startswith("//") or _has_scheme(link):
        return None
    name, _, anchor = link.partition("#")
    name = unquote(name.partition("?")[0])
    if not name:
        return source, unquote(anchor)
    start = PurePosixPath() if name.startswith("/") else PurePosixPath(source).parent
    parts: list[str] = list(start.parts)
    for part in name.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts), unquote(anchor)


def relative(target: str, source: str) -> str:
    """How a document at `source` links to `target`."""
    here, there = source.split("/")[:-1], target.split("/")
    shared = 0
    while shared < len(here) and shared < len(there) - 1 and here[shared] == there[shared]:
        shared += 1
    return "/".join([*[".."] * (len(here) - shared), *there[shared:]])


def _has_scheme(link: str) -> bool:
    scheme, colon, _ = link.partition(":")
    return bool(colon) and scheme[:1].isalpha() and all(char.isalnum() or char in "+-." for char in scheme)
