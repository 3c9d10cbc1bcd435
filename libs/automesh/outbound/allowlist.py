"""Where calls may go: URL prefixes of the operator, such as `https://files.example.org/public/`.

An entry is `https://HOST[:PORT]/PREFIX`, or `http://` where that is wanted. HOST may be `*.example.org` (every name
below it, not itself) or `*`. The word `private` behind an entry, which must name one host, lets it be on a loopback or
private address: `http://127.0.0.1:9000/ private`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

from automesh.outbound.errors import BadAllowList, UrlNotAllowed, shown

PORTS = {"https": 443, "http": 80}
MAX_URL, MAX_HOST = 4096, 253
PRIVATE = "private"
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A host that ends so is an address to resolvers, in one of many spellings: 2130706433, 0x7f.1."""
_PRINTABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was read strictly: what is checked is what is called."""

    scheme: str
    host: str
    """A name in lower case, or an address without brackets."""
    port: int
    path: str
    """Begins with a slash; has no dot segments, however they are written."""
    query: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises UrlNotAllowed for what is no plain http(s) URL."""
        parts = _split(url)
        if parts is None:
            raise UrlNotAllowed(f"{shown(url)} is no URL that can be called: write https://host/path in plain ASCII")
        if parts.username is not None or parts.password is not None:
            raise UrlNotAllowed(f"{shown(url)} names a user: put no secrets into URLs")
        if "#" in url or _has_dots(parts.path):
            raise UrlNotAllowed(f"{shown(url)} has a fragment, or `.` and `..` in its path: write the whole path")
        host, port = _host(parts), parts.port
        if not host or port == 0:
            raise UrlNotAllowed(f"{shown(url)} names no host that can be called")
        return cls(parts.scheme, host, port or PORTS[parts.scheme], parts.path or "/", parts.query)

    @property
    def authority(self) -> str:
        """host[:port] as in the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def literal(self) -> bool:
        """Whether the host is an address rather than a name."""
        return _is_address(self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One prefix of an allow-list."""

    scheme: str
    host: str
    port: int
    path: str
    private: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises BadAllowList that says how to write it."""
        url, *words = text.split()
        if words not in ([], [PRIVATE]):
            raise BadAllowList(f"{text!r}: behind the URL only the word `{PRIVATE}` may stand")
        any_host = "://*" in url
        try:
            target = Target.parse(url.replace("://*.", "://", 1).replace("://*", "://any", 1) if any_host else url)
        except UrlNotAllowed as error:
            raise BadAllowList(f"{text!r} is no entry: {error.message}") from None
        if target.query:
            raise BadAllowList(f"{text!r} has a query: an entry is the beginning of a path")
        if any_host and words:
            raise BadAllowList(f"{text!r}: `{PRIVATE}` is for one host, not for many")
        host = target.host
        if any_host:
            host = f"*.{target.host}" if "://*." in url else "*"
        return cls(target.scheme, host, target.port, target.path, bool(words))

    def allows(self, target: Target) -> bool:
        """Whether the target stands below this prefix."""
        return (
            (self.scheme, self.port) == (target.scheme, target.port)
            and self._is_host(target)
            and self._is_above(target.path)
        )

    def _is_host(self, target: Target) -> bool:
        if self.host == "*":
            return True
        if self.host.startswith("*."):
            return not target.literal and target.host.endswith(self.host[1:])
        return self.host == target.host

    def _is_above(self, path: str) -> bool:
        folder = self.path if self.path.endswith("/") else f"{self.path}/"
        return path == self.path or path.startswith(folder)


class AllowList:
    """The entries; empty means that nothing is allowed."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = tuple(entries)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Of the operator's setting. Raises BadAllowList."""
        return cls(Entry.parse(text) for text in texts if text.strip())

    def __bool__(self) -> bool:
        return bool(self._entries)

    def find(self, url: str) -> tuple[Target, bool]:
        """What to call, and whether it may be on a private address. Raises UrlNotAllowed."""
        target = Target.parse(url)
        found = [entry for entry in self._entries if entry.allows(target)]
        if not found:
            raise UrlNotAllowed(f"{target} is not on the allow-list: ask the operator to add it", url=str(target))
        return target, any(entry.private for entry in found)


def _split(url: str) -> SplitResult | None:
    if len(url) > MAX_URL or not _PRINTABLE.fullmatch(url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 # raises for one that is none
    except ValueError:
        return None
    return parts if parts.scheme in PORTS and parts.netloc else None


def _host(parts: SplitResult) -> str:
    """The host in the one way that it is compared and called; empty when it cannot be."""
    host = (parts.hostname or "").removesuffix(".")
    if _is_address(host):
        return str(ipaddress.ip_address(host))
    last = host.rpartition(".")[2]
    usual = _NAME.fullmatch(host) and len(host) <= MAX_HOST and not _NUMBER.fullmatch(last)
    return host if usual else ""


def _is_address(host: str) -> bool:
    try:
        return "%" not in host and bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _has_dots(path: str) -> bool:
    """Also where they are escaped once or twice: servers differ in how often they decode."""
    for _ in range(3):
        if {".", ".."} & set(re.split(r"[/\\]", path)):
            return True
        path = unquote(path)
    return False
