"""What an operator or a test may choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from automesh.core.clock import Clock, utc_now
from automesh.core.ids import new_id

MIB = 1024**2
GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Durations end in `_s` and are seconds."""

    max_page_bytes: int = 2 * MIB
    max_attachment_bytes: int = 64 * MIB
    attachment_quota: int = 64 * GIB
    """Bytes that the attachments of one tenant may take."""
    max_drafts: int = 200
    """Of one person."""
    draft_ttl_s: float = 90 * 86_400.0
    write_counts_every_s: float = 1.0
    keep_searches_s: float = 6 * 3600.0
    """Until then a click belongs to its search; then only queries are counted."""
    roll_up_every_s: float = 600.0
    keep_days: int = 90
    """Views and queries are counted by the day for so long, then by the month."""
    scratch: Path
    """A folder of this replica's own: the search index, work in progress. What is lost there can be made again."""
    poll_every_s: float = 0.25
    """Changes made by other replicas are seen so soon at the latest; those of this one at once."""
    clean_every_s: float = 60.0
    clock: Clock = utc_now
    make_id: Callable[[str], str] = new_id
