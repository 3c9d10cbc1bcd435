"""Scratch folders of attempts: private, and always removed, also those that a killed agent left."""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import structlog

from automesh.core.errors import AutomationError, Kind
from services.agent.clients.sandbox import scratch

log = structlog.get_logger(__name__)

_LOCK = "lock"


class WorkDirUnusable(AutomationError):
    """The folder for scratch folders cannot be made or written to."""

    kind = Kind.PRECONDITION
    reason = "WORK_DIR_UNUSABLE"


class WorkDir:
    """The folder of one agent process among those of its neighbours."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def attempt(self) -> AsyncGenerator[Path]:
        """A new folder, removed at the end whatever is in it."""
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._folder, prefix="attempt-"))
        try:
            yield folder
        finally:
            # A cancelled attempt must clean up as well, so the removal is not cancelled with it.
            await asyncio.shield(asyncio.to_thread(scratch.remove, folder))


@contextmanager
def opened(parent: Path, instance_id: str) -> Iterator[WorkDir]:
    """The work folder of this process below `parent`, and nothing left of processes that are gone."""
    folder = parent / instance_id
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WorkDirUnusable(
            f"cannot use {folder}: {error.strerror}. Set AUTOMESH_WORK_DIR to a folder that can be written to",
            path=folder,
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove_abandoned(parent)
        yield WorkDir(folder)
    finally:
        scratch.remove(folder)
        os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.iterdir():
        with suppress(OSError):  # no folder of an agent, or one that just goes away
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held as long as its process lives
                log.info("removing what a killed agent left", folder=str(folder))
                scratch.remove(folder)
            finally:
                os.close(lock)
