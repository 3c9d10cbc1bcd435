"""Who is in the same room through other replicas. Kept in memory only, and only for as long as it is heard of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.doc.domain.editing.said import PresenceOf

KEEP_S = 30.0
MOST = 500


class Presences:
    """By client; the moments are those of the caller's clock, in seconds."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[PresenceOf, float]] = {}

    def note(self, there: PresenceOf, now: float) -> None:
        """They are there, or have left."""
        self._known.pop(there.client, None)
        if not there.gone and len(self._known) < MOST:
            self._known[there.client] = (there, now)

    def all(self) -> Sequence[PresenceOf]:
        """Everybody."""
        return [there for there, _ in self._known.values()]

    def stale(self, now: float) -> Sequence[PresenceOf]:
        """Forgets those that were not heard of for long, and says that they have left."""
        old = [there for there, heard in self._known.values() if now - heard > KEEP_S]
        for there in old:
            del self._known[there.client]
        return [replace(there, state=b"", gone=True) for there in old]
