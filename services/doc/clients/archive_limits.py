"""What an archive may unpack to, counted while it is read."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from services.doc.domain.transfer.errors import ArchiveRefused

MIB = 1024**2
_FREE_BYTES = 10 * MIB
"""A small archive may unpack to as much whatever its ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """What an archive may unpack to. `max_ratio`: bytes for each of its own."""

    max_unpacked: int
    max_file: int
    max_entries: int = 100_000
    max_ratio: int = 200


@dataclass(slots=True)
class Meter:
    """Counts what comes out of an archive. `stop` ends the work of a thread that nobody waits for any more."""

    limits: ArchiveLimits
    packed: int
    stop: threading.Event = field(default_factory=threading.Event)
    unpacked: int = 0

    def entry(self, count: int) -> None:
        """So many there are, folders among them. Raises ArchiveRefused."""
        if count > self.limits.max_entries:
            raise ArchiveRefused(f"the archive has more than {self.limits.max_entries} entries: import it in parts")

    def bytes(self, count: int) -> None:
        """So many more. Raises ArchiveRefused."""
        if self.stop.is_set():
            raise ArchiveRefused("the import has ended")
        self.unpacked += count
        if self.unpacked > self.limits.max_unpacked:
            raise ArchiveRefused(
                f"the archive unpacks to more than {self.limits.max_unpacked} bytes (doc_max_unpacked_bytes): import "
                "it in parts",
                limit=self.limits.max_unpacked,
            )
        if self.unpacked > _FREE_BYTES and self.unpacked > self.limits.max_ratio * self.packed:
            raise ArchiveRefused(
                f"the archive unpacks to more than {self.limits.max_ratio} times its size: no documentation does; pack "
                "it anew",
                ratio=self.limits.max_ratio,
            )
