"""A request as the listener sees it, read strictly: what is not plainly a path is nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from services.doc.domain.publishing.addresses import KEY

MAX_PATH, MAX_QUERY = 8192, 4096
"""The path of a document, of 400 characters, may be 4,800 bytes long when it is escaped."""
COOKIE = "automesh_site"
_COOKIE = re.compile(rf"(?:^|;\s*){COOKIE}=([A-Za-z0-9_-]+)(?:\s*;|\s*$)")
_KEY = re.compile(rf"(?:^|&){KEY}=([A-Za-z0-9_-]+)(?:&|$)")
_ROBOT = re.compile(
    r"bot\b|crawl|spider|slurp|archiver|monitor|curl/|wget/|python-|httpx|go-http|java/|headless|lighthouse|preview|scan",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Asking:
    """`path` is decoded and begins with a slash; None: it is none that could be there."""

    method: str
    path: str | None
    query: str
    host: str
    headers: dict[str, str]
    peer: str

    @classmethod
    def of(cls, scope: Any, *, trust_forwarded: bool) -> Asking:
        """Of an ASGI scope."""
        headers = _headers(scope["headers"])
        peer = (scope.get("client") or ("", 0))[0]
        if trust_forwarded and (forwarded := headers.get("x-forwarded-for")):
            peer = forwarded.rpartition(",")[2].strip()
        host = headers.get("host", "")
        if trust_forwarded:
            host = headers.get("x-forwarded-host", host)
        return cls(
            method=scope["method"],
            path=decoded(scope["raw_path"]),
            query=scope["query_string"].decode("latin-1"),
            host=host,
            headers=headers,
            peer=peer,
        )

    @property
    def key(self) -> str:
        """The key of a link, of the characters that keys have; empty without one."""
        found = _KEY.search(self.query) if len(self.query) <= MAX_QUERY else None
        return found[1] if found else ""

    @property
    def cookie(self) -> str:
        """The key that a link has left behind; empty without one."""
        found = _COOKIE.search(self.headers.get("cookie", ""))
        return found[1] if found else ""

    @property
    def takes_gzip(self) -> bool:
        """Whether an answer may be compressed."""
        accepted = self.headers.get("accept-encoding", "").lower()
        return "gzip" in accepted and not re.search(r"gzip\s*;\s*q=0(?:\.0*)?(?:\s|,|$)", accepted)

    @property
    def counted(self) -> bool:
        """A reader's own look at a page, not a browser's guess that there will be one."""
        purpose = self.headers.get("sec-purpose", "") + self.headers.get("purpose", "")
        return self.method == "GET" and "prefetch" not in purpose and "prerender" not in purpose

    @property
    def robot(self) -> bool:
        """A program that says so, or that says nothing."""
        agent = self.headers.get("user-agent", "")
        return not agent or bool(_ROBOT.search(agent))

    @property
    def visitor(self) -> str:
        """What tells readers apart for a day."""
        return f"{self.peer} {self.headers.get('user-agent', '')[:300]}"

    def has(self, etag: str) -> bool:
        """Whether the asker has what the tag stands for, compressed or not."""
        told = self.headers.get("if-none-match", "")
        return told.strip() == "*" or f'"{etag}"' in told or f'"{etag}-gzip"' in told


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """By name, the last of each; but HTTP/2 sends cookies one by one."""
    headers: dict[str, str] = {}
    for raw, value in pairs:
        name, said = raw.decode("latin-1").lower(), value.decode("latin-1")
        headers[name] = f"{headers[name]}; {said}" if name == "cookie" and name in headers else said
    return headers


def decoded(raw: bytes) -> str | None:
    """A path in Unicode's form NFC; None for one that means mischief, or nothing."""
    if len(raw) > MAX_PATH or not raw.startswith(b"/"):
        return None
    try:
        path = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        return None
    if any(ord(char) < 32 or char in "\\\x7f" for char in path):  # noqa: PLR2004 - control characters
        return None
    if any(part in {".", ".."} for part in path.split("/")) or "//" in path:
        return None
    return unicodedata.normalize("NFC", path)
