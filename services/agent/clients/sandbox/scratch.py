"""Folders that code nobody trusts has written to: measured, read and removed without following its links."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from services.agent.domain.sandbox import ScratchFileRefused

BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own is


def hand_over(scratch: Path, uid: int) -> None:
    """Makes the folder and all in it another user's (only root can)."""
    for _, folders, files, here in os.fwalk(scratch, follow_symlinks=False):
        for name in (*folders, *files):
            os.chown(name, uid, uid, dir_fd=here, follow_symlinks=False)
        os.fchown(here, uid, uid)


def usage(scratch: Path, *, stop_after: int) -> tuple[int, int]:
    """Bytes on disk and entries; counting ends soon after `stop_after` entries."""
    size, entries = 0, 0
    for _, folders, files, here in os.fwalk(scratch, follow_symlinks=False):
        for name in (*folders, *files):
            entries += 1
            with contextlib.suppress(OSError):  # it was removed meanwhile
                size += os.stat(name, dir_fd=here, follow_symlinks=False).st_blocks * BLOCK_BYTES
        if entries > stop_after:
            break
    return size, entries


def read_bounded(scratch: Path, name: str, *, limit: int) -> bytes:
    """A plain file directly in the folder. Raises ScratchFileRefused for a link, a pipe, or one too large.

    A run could leave a link to a file of ours in place of its result; it must not be followed.
    """
    if "/" in name:
        raise ScratchFileRefused(f"{name} is not directly in the scratch folder", name=name)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(scratch / name, flags)
    except OSError as error:
        raise ScratchFileRefused(f"cannot read {name}: {error.strerror}", name=name) from error
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ScratchFileRefused(f"{name} is not a plain file", name=name)
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ScratchFileRefused(f"{name} is larger than {limit} bytes", name=name)
    return content


def remove(scratch: Path) -> None:
    """Removes the folder, also where a run has closed folders to everybody."""

    def open_and_retry(function: Callable[[str], object], path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), stat.S_IRWXU)
            if not os.path.islink(path):
                os.chmod(path, stat.S_IRWXU)
            if function in (os.rmdir, os.open, os.scandir, os.lstat) and os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                function(path)

    shutil.rmtree(scratch, onerror=open_and_retry)
