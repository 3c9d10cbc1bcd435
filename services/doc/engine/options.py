"""What an operator or a test may choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from automesh.core.clock import Clock, utc_now
from automesh.core.ids import new_id
from automesh.web.server import Listen

MIB = 1024**2
GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Durations end in `_s` and are seconds. What settings.py does not have is a test's, which need not wait then."""

    max_page_bytes: int = 2 * MIB
    max_attachment_bytes: int = 64 * MIB
    attachment_quota: int = 64 * GIB
    """Bytes that the attachments of one tenant may take."""
    max_drafts: int = 200
    """Of one person."""
    draft_ttl_s: float = 90 * 86_400.0
    keep_searches_s: float = 6 * 3600.0
    """Until then a click belongs to its search; then only queries are counted."""
    roll_up_every_s: float = 600.0
    keep_days: int = 90
    """Views and queries are counted by the day for so long, then by the month."""
    jobs_at_once: int = 2
    """Imports, exports, backups that this replica works on."""
    job_lease_s: float = 15.0
    """So long after the death of a replica another goes on with its jobs."""
    max_import_bytes: int = 512 * MIB
    max_unpacked_bytes: int = 2 * GIB
    """What an archive may hold."""
    keep_exports_s: float = 86_400.0
    backup_every_s: float = 0.0
    """0: only when somebody asks for one."""
    keep_backups: int = 14
    """Of those that come by themselves."""
    warm_templates: bool = False
    """A worker is started with the service, not with the first template."""
    search_engine: Literal["tantivy", "postgres"] = "tantivy"
    search_standby_every_s: float = 2.0
    """The index in the database, which answers while this replica's own is being built, is at most so old."""
    editing_idle_s: float = 10.0
    """What is edited together becomes a revision after so long without an update."""
    editing_keep_s: float = 86_400.0
    """Rooms that nobody has used for so long are forgotten."""
    editing_check_every_s: float = 5.0
    """The right to write is looked at so often while somebody edits."""
    webhook_poll_s: float = 1.0
    """Deliveries that are due are seen so soon at the latest."""
    site_listen: Listen | None = None
    """Where readers of published sites come; None: this process serves none."""
    site_url: str = "http://127.0.0.1:8081"
    """The same, as readers write it."""
    site_preview_url: str = ""
    """Releases by themselves, with {release} in the host; empty: below `site_url`."""
    site_trust_forwarded: bool = False
    """A proxy in front of the listener says who asks, and for which host."""
    site_link_ttl_s: float = 3600.0
    """Links to what is not for everybody open it for so long."""
    site_build_limit_s: float = 600.0
    site_build_memory_bytes: int = 4 * GIB
    """Address space of the program that builds a site."""
    site_quiet_s: float = 2.0
    """Changes of a site that publishes by itself are published so long after the last of them."""
    scratch: Path
    """A folder of this replica's own: the search index, work in progress. What is lost there can be made again."""
    poll_every_s: float = 0.25
    """Changes made by other replicas are seen so soon at the latest; those of this one at once."""
    clean_every_s: float = 60.0
    clock: Clock = utc_now
    make_id: Callable[[str], str] = new_id
