"""What a tree of processes uses, read from /proc, and the way to end it for certain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Places in /proc/PID/stat after the command name.
_UTIME, _CSTIME, _THREADS, _RSS = 11, 14, 17, 21
# Children the kernel lists cheaply; where it cannot, the whole table is read.
_LISTS_CHILDREN = (PROC / "self" / "task" / str(os.getpid()) / "children").exists()


class Pidfd:
    """A process that cannot be confused with a later one of the same number."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when it is gone already."""
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, signal.SIGKILL)

    async def gone(self) -> None:
        """Waits until it has ended. For the init of a pid namespace: until all of the namespace has."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def end() -> None:
            if not ended.done():
                ended.set_result(None)

        loop.add_reader(self._fd, end)
        try:
            await ended
        finally:
            loop.remove_reader(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def measure(root: int, *, with_root: bool) -> tuple[float, int, int]:
    """CPU seconds (reaped children included), resident bytes and threads of a process and its descendants.

    `with_root` says whether the memory and threads of the root itself count.
    """
    cpu, resident, threads = 0.0, 0, 0
    for pid in _tree(root):
        stat = _stat(pid)
        if stat is None:
            continue
        cpu += sum(stat[_UTIME : _CSTIME + 1]) / TICKS_PER_S
        if pid != root or with_root:
            resident += stat[_RSS] * PAGE_BYTES
            threads += stat[_THREADS]
    return cpu, resident, threads


def proportional_bytes(root: int) -> int:
    """Memory of the tree with shared pages counted once; dearer than `measure`, so asked only in doubt."""
    return sum(_proportional(pid) for pid in _tree(root))


def kill_tree(root: int) -> None:
    """SIGKILLs all descendants that can be found, then the root's group. For runs without a pid namespace."""
    for pid in reversed(list(_tree(root))):
        if pid != root:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(root, signal.SIGKILL)


def _tree(root: int) -> Iterator[int]:
    if not _LISTS_CHILDREN:
        yield root
        with contextlib.suppress(psutil.Error):
            yield from (child.pid for child in psutil.Process(root).children(recursive=True))
        return
    waiting, seen = [root], {root}
    while waiting:
        pid = waiting.pop()
        yield pid
        children = [child for child in _children(pid) if child not in seen]
        seen.update(children)
        waiting.extend(children)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found.extend(int(child) for child in file.read().split())
    except (OSError, ValueError):  # it ended while being read
        pass
    return found


def _stat(pid: int) -> list[int] | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    after_name = text[text.rfind(")") + 2 :].split()
    return [0, *(int(field) for field in after_name[1:])]


def _proportional(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    stat = _stat(pid)
    return stat[_RSS] * PAGE_BYTES if stat else 0
