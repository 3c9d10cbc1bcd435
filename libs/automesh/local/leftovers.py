"""Processes named by id and start time: whether one still lives, and how to end it with all it started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress

import psutil
import structlog

from automesh.local.record import ProcessRecord

log = structlog.get_logger(__name__)

ASK_LIMIT_S = 5.0
_SAME_S = 1.5  # the kernel counts from boot, so the start time shifts a little when the clock is set


def start_time(pid: int) -> float:
    """When a process began, in seconds since the epoch; 0 when there is no such process."""
    with suppress(psutil.Error):
        return float(psutil.Process(pid).create_time())
    return 0.0


def find(pid: int, started: float) -> psutil.Process | None:
    """The process of that id and start time; None once it is gone or a mere zombie."""
    if pid <= 0:
        return None
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) <= _SAME_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    return None


def end_all(records: Iterable[ProcessRecord], *, ask_limit_s: float = ASK_LIMIT_S) -> int:
    """Ends what still lives of `records`: asks first, then insists. Blocks; says how many there were."""
    alive = [process for record in records if (process := find(record.pid, record.started))]
    for process in alive:
        log.warning("ending a process that an earlier supervisor left behind", pid=process.pid, name=process.name())
        with suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(alive, timeout=ask_limit_s)
    for process in stubborn:
        kill_group(process.pid)
    psutil.wait_procs(stubborn, timeout=ask_limit_s)
    return len(alive)


def kill_group(pid: int) -> None:
    """Kills a process that leads a group, and its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
