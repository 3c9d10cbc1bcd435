"""A cache, as a port."""

from __future__ import annotations

import hashlib
from typing import Protocol

MAX_VALUE = 1024 * 1024
"""Bytes; larger values are not kept."""


class Cache(Protocol):
    """Values by key. A cache that is away, slow or full has nothing, and never raises.

    A key says everything that a value was made of (see `key_of`), so that nothing need ever be called back; `delete`
    is for what shall not lie about any longer.
    """

    @property
    def shared(self) -> bool:
        """Whether other replicas see what this one keeps."""
        ...

    async def get(self, key: str) -> bytes | None:
        """None: make it."""
        ...

    async def set(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keeps it for at most so long; not at all when it is too large."""
        ...

    async def delete(self, key: str) -> None:
        """Forgets it."""
        ...


def key_of(kind: str, *parts: str) -> str:
    """A key of a kind of values; no two lists of parts give the same."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return f"{kind}:{digest.hexdigest()}"
