"""A cache inside one process: where there is no Redis."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from services.doc.domain.caching.ports import MAX_VALUE

MAX_BYTES = 32 * 1024 * 1024
_OVERHEAD = 200
"""Bytes of an entry beside its key and value, about."""


class MemoryCache:
    """A services.doc.domain.caching.ports.Cache that keeps what was asked for last, at most `max_bytes` of it."""

    shared = False

    def __init__(self, *, max_bytes: int = MAX_BYTES, now: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes, self._now = max_bytes, now
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0

    async def get(self, key: str) -> bytes | None:
        """See Cache."""
        until, value = self._kept.get(key, (0.0, None))
        if value is None:
            return None
        if until <= self._now():
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return value

    async def set(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """See Cache."""
        self._forget(key)
        if len(value) > MAX_VALUE:
            return
        self._kept[key] = (self._now() + ttl_s, value)
        self._bytes += _size(key, value)
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._kept)))

    async def delete(self, key: str) -> None:
        """See Cache."""
        self._forget(key)

    def _forget(self, key: str) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= _size(key, found[1])


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD
