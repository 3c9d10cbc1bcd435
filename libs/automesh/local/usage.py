"""What processes use now: memory with all they started, and how long they have been running."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

from automesh.local.leftovers import find
from automesh.local.record import ProcessRecord


@dataclass(frozen=True, slots=True)
class Usage:
    """`memory_bytes`: shared pages are counted once among those who share them, where the system can tell (PSS)."""

    alive: bool
    memory_bytes: int = 0
    uptime_s: float = 0.0


def usage_of(record: ProcessRecord, *, family: bool = True) -> Usage:
    """A look at one process and, with `family`, all below it."""
    process = find(record.pid, record.started)
    if process is None:
        return Usage(False)
    members = [process]
    if family:
        with suppress(psutil.Error):
            members += process.children(recursive=True)
    memory = sum(memory_of(member) for member in members)
    return Usage(True, memory, max(0.0, time.time() - record.started))


def memory_of(process: psutil.Process) -> int:
    """Bytes of one process; 0 once it is gone."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError, OSError):
        with suppress(psutil.Error):
            return int(process.memory_info().rss)
    return 0
