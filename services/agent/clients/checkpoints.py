"""Brings checkpoints of a training to safety while it goes on; one that is overtaken by the next is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from automesh.core.errors import AutomationError
from services.agent.domain.files import FileInfo, FileMissing, place
from services.agent.domain.program import Checkpoint

MAX_FILES = 1000

Store = Callable[[str, Path], Awaitable[FileInfo]]
Commit = Callable[[Checkpoint, Sequence[FileInfo]], Awaitable[None]]

log = structlog.get_logger(__name__)


class Checkpoints:
    """Of a training whose outputs are below `out`. `run` brings them to safety; the others may be called meanwhile."""

    def __init__(self, out: Path, store: Store, commit: Commit) -> None:
        self._out = out
        self._store = store
        self._commit = commit
        self._waiting: list[Checkpoint] = []
        self._storing: Checkpoint | None = None
        self._changed = asyncio.Condition()

    async def add(self, checkpoint: Checkpoint) -> None:
        """At most two wait: the newest, and the best."""
        async with self._changed:
            left_out = [each for each in self._waiting if checkpoint.best or not each.best]
            self._waiting = [each for each in self._waiting if each not in left_out] + [checkpoint]
            self._changed.notify_all()

    async def flush(self) -> None:
        """Until all are safe."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting and self._storing is None)

    async def run(self) -> None:
        """Until cancelled. Raises AutomationError when the service refuses them."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._waiting))
                self._storing = self._waiting.pop(0)
            await self._safe(self._storing)
            async with self._changed:
                self._storing = None
                self._changed.notify_all()

    async def _safe(self, checkpoint: Checkpoint) -> None:
        try:
            names = await asyncio.to_thread(_names, place(self._out, checkpoint.folder))
            stored = [await self._store(f"{checkpoint.folder}/{name}", self._path(checkpoint, name)) for name in names]
        except FileMissing as error:  # overtaken by the next, and removed
            log.warning("a checkpoint is gone before it was safe", folder=checkpoint.folder, why=error.message)
            return
        prefix = len(checkpoint.folder) + 1
        await self._commit(checkpoint, [FileInfo(file.name[prefix:], file.size, file.sha256) for file in stored])

    def _path(self, checkpoint: Checkpoint, name: str) -> Path:
        return place(self._out, f"{checkpoint.folder}/{name}")


def _names(folder: Path) -> Sequence[str]:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if not names:
        raise FileMissing(f"the checkpoint {folder.name} has no files")
    if len(names) > MAX_FILES:
        raise AutomationError(f"the checkpoint {folder.name} has more than {MAX_FILES} files")
    return names
