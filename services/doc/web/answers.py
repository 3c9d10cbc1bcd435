"""Answers of the listener, and the headers that keep pages from doing what only programs may."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from email.utils import quote as quoted
from typing import Any
from urllib.parse import quote

from services.doc.domain.publishing.site import ReleaseFile

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PLAIN_STYLE = (
    "body{max-width:34rem;margin:22vh auto 0;padding:0 1.5rem;font:1.05rem/1.6 system-ui,sans-serif}"
    "h1{font-size:1.5rem;line-height:1.3}p{opacity:.75}"
)
_PLAIN_HASH = base64.b64encode(hashlib.sha256(PLAIN_STYLE.encode()).digest()).decode()
PLAIN_CSP = (
    f"default-src 'none'; style-src 'sha256-{_PLAIN_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of the listener's own pages: nothing but their style."""
FILE_CSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""Of what people have uploaded: a drawing shows, and runs nothing."""
FOR_EVER, ASK_AGAIN, NEVER = "max-age=31536000, immutable", "no-cache", "no-store"
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
PIECE = 64 * 1024
"""A large file goes out in such pieces: a slow reader holds some of these, not of the store's chunks."""
PATIENCE_S = 60.0
"""A reader who has taken no piece for so long is let go."""
_STS = (b"strict-transport-security", b"max-age=31536000")


@dataclass(slots=True)
class Answer:
    """`body` whole, or in `chunks` of `length` bytes together; without either, what HEAD says of so long an answer."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    chunks: AsyncGenerator[bytes] | None = None
    length: int = 0

    async def send(self, receive: Any, send: Any, *, head: bool, secure: bool) -> None:
        """Over ASGI. Raises TimeoutError when a reader takes nothing, and what `chunks` raises."""
        headers = [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in self.headers]
        if self.status != 304:  # noqa: PLR2004 - Not Modified
            headers.append((b"content-length", str(self.length or len(self.body)).encode()))
        headers += [*_SHARED, _STS] if secure else _SHARED
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if self.chunks is None:
            await send({"type": "http.response.body", "body": b"" if head else self.body})
        else:
            await _stream(self.chunks, receive, send)


async def _stream(chunks: AsyncGenerator[bytes], receive: Any, send: Any) -> None:
    """Ends early when the reader has gone: the server takes what is sent then, and throws it away."""
    gone = asyncio.create_task(_gone(receive))
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                for start in range(0, len(chunk), PIECE):
                    if gone.done():
                        return
                    async with asyncio.timeout(PATIENCE_S):
                        piece = chunk[start : start + PIECE]
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # a body that nobody asked for


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


def moved(location: str, status: int = 301, *, kept: str = ASK_AGAIN) -> Answer:
    """Somewhere else; `location` is quoted already."""
    return Answer(status, [("location", location), ("cache-control", kept)])


def plain_page(status: int, title: str, words: str, extra: Sequence[tuple[str, str]] = ()) -> Answer:
    """A page where no site is that could have one."""
    shown = html.escape(title)
    body = (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{shown}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><style>{PLAIN_STYLE}</style></head>'
        f"\n<body><main><h1>{shown}</h1><p>{html.escape(words)}</p></main></body>\n</html>\n"
    )
    headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", NEVER),
        ("content-security-policy", PLAIN_CSP),
        ("x-robots-tag", "noindex"),
    ]
    return Answer(status, [*headers, *extra], body.encode())
