"""Request paths: split first, then each piece decoded exactly once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from gateway.refusals import BadPath

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SLASH = re.compile(rb"(%2[Ff])")


@dataclass(frozen=True, slots=True)
class Path:
    """A request path: raw pieces, and the same decoded (with %2F decoded as well)."""

    raw: tuple[bytes, ...]
    decoded: tuple[str, ...]


def parse_path(raw: bytes) -> Path:
    """Splits and decodes; raises BadPath for malformed escapes and for what is not UTF-8."""
    pieces = tuple(raw[1:].split(b"/"))
    if b"%" not in raw:
        return Path(pieces, tuple(_text(piece) for piece in pieces))
    if _BAD_ESCAPE.search(raw):
        raise BadPath("the path holds a '%' that two hexadecimal digits do not follow: write it as %25")
    return Path(pieces, tuple(_text(unquote_to_bytes(piece)) for piece in pieces))


def keep_slashes(raw: bytes) -> str:
    """Decodes a piece of a capture of several segments: everything but %2F, which would read as a separator."""
    if b"%" not in raw:
        return _text(raw)
    parts = _SLASH.split(raw)
    return "".join(_text(part) if _SLASH.fullmatch(part) else _text(unquote_to_bytes(part)) for part in parts)


def _text(piece: bytes) -> str:
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        raise BadPath("the path is not UTF-8 once its escapes are decoded") from None
