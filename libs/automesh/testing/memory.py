"""Folders in memory: with every database of a test hundreds of files come and go, which is hard on disks.

ext4, for one, looks at every inode that was given up within the last five seconds before it hands out one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there has a name that nobody can guess
_ROOM = 4 * 1024**3
_PREFIX = "automesh-test-"


@contextmanager
def folder_in_memory(otherwise: Path, *, memory: Path = MEMORY, room: int = _ROOM) -> Iterator[Path]:
    """A folder that goes at the end; `otherwise`, where `memory` has not that much room (in bytes)."""
    _sweep(memory)
    if not _has_room(memory, room):
        yield otherwise
        return
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=memory))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _has_room(memory: Path, room: int) -> bool:
    try:
        return os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= room
    except OSError:
        return False


def _sweep(memory: Path) -> None:
    """Takes away what processes have left that were killed."""
    for folder in memory.glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
