"""Answers of the listener, and the headers that keep pages from doing what only programs may."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from email.utils import quote as quoted
from typing import Any
from urllib.parse import quote

from services.doc.domain.publishing.site import ReleaseFile

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILE_CSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""Of what people have uploaded: a drawing shows, and runs nothing."""
FOR_EVER, ASK_AGAIN = "max-age=31536000, immutable", "no-cache"
SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/svg+xml", "text/plain"})
"""Types of uploaded files that browsers show; all others are downloaded."""
_SHARED = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)
_STS = (b"strict-transport-security", b"max-age=31536000")


@dataclass(slots=True)
class Answer:
    """`body` whole, or in `chunks` of `length` bytes together."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    chunks: AsyncIterator[bytes] | None = None
    length: int = 0

    async def send(self, send: Any, *, head: bool, secure: bool) -> None:
        """Over ASGI."""
        length = self.length if self.chunks is not None else len(self.body)
        headers = [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in self.headers]
        if self.status != 304:  # noqa: PLR2004 - Not Modified
            headers.append((b"content-length", str(length).encode()))
        headers += [*_SHARED, _STS] if secure else _SHARED
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if self.chunks is None or head:
            await send({"type": "http.response.body", "body": b"" if head else self.body})
            return
        async for chunk in self.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def file_headers(file: ReleaseFile, *, private: bool, hashed: bool) -> list[tuple[str, str]]:
    """What a file of a release is sent with, but for how it is packed."""
    kept = FOR_EVER if hashed else ASK_AGAIN
    headers = [("cache-control", f"{'private' if private else 'public'}, {kept}")]
    if private:
        headers.append(("x-robots-tag", "noindex"))
    if not file.attachment:
        return [*headers, ("content-type", file.content_type), ("content-security-policy", PAGE_CSP)]
    kind = file.content_type.partition(";")[0].strip().lower()
    headers.append(("content-security-policy", FILE_CSP))
    if kind in SHOWN:
        return [*headers, ("content-type", "text/plain; charset=utf-8" if kind == "text/plain" else kind)]
    name = file.path.rpartition("/")[2]
    plain = quoted(name.encode("ascii", "replace").decode())
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return [*headers, ("content-type", "application/octet-stream"), ("content-disposition", disposition)]


def moved(location: str, status: int = 301) -> Answer:
    """Somewhere else; `location` is quoted already."""
    return Answer(status, [("location", location), ("cache-control", ASK_AGAIN)])


def plain_page(status: int, title: str, words: str, extra: Sequence[tuple[str, str]] = ()) -> Answer:
    """A page where no site is that could have one."""
    shown = html.escape(title)
    body = (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{shown}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"></head>'
        f"\n<body><main><h1>{shown}</h1><p>{html.escape(words)}</p></main></body>\n</html>\n"
    )
    headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("content-security-policy", PAGE_CSP),
        ("x-robots-tag", "noindex"),
    ]
    return Answer(status, [*headers, *extra], body.encode())
