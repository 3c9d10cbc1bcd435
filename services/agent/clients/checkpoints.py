"""Brings checkpoints of a training to safety while it goes on; one that is overtaken by the next is left out."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from automesh.core.errors import AutomationError
from services.agent.domain.files import FileInfo, FileMissing, place
from services.agent.domain.program import Checkpoint

MAX_FILES = 1000

Store = Callable[[str, Path], Awaitable[FileInfo]]
Commit = Callable[[Checkpoint, Sequence[FileInfo]], Awaitable[None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    """A checkpoint whose files are linked into `folder`: there they stay when the trainer removes its own."""

    checkpoint: Checkpoint
    folder: Path
    names: Sequence[str]


class Checkpoints:
    """Of a training whose outputs are below `out`. `run` brings them to safety; the others may be called meanwhile."""

    def __init__(self, out: Path, store: Store, commit: Commit) -> None:
        """Holds those that are not yet safe beside `out`, on the same file system."""
        self._out = out
        self._store = store
        self._commit = commit
        self._numbers = itertools.count()
        self._waiting: list[_Held] = []
        self._storing: _Held | None = None
        self._changed = asyncio.Condition()

    async def add(self, checkpoint: Checkpoint) -> None:
        """At most two wait: the newest, and the best."""
        folder = self._out.with_name("held") / str(next(self._numbers))
        try:
            names = await asyncio.to_thread(_link, place(self._out, checkpoint.folder), folder)
        except FileMissing as error:  # the trainer is far ahead of what is read of it here
            log.warning("a checkpoint is gone before it was held", folder=checkpoint.folder, why=error.message)
            return
        async with self._changed:
            left_out = [each for each in self._waiting if checkpoint.best or not each.checkpoint.best]
            kept = [each for each in self._waiting if each not in left_out]
            self._waiting = [*kept, _Held(checkpoint, folder, names)]
            self._changed.notify_all()
        for each in left_out:
            await _release(each)

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
            await _release(self._storing)
            async with self._changed:
                self._storing = None
                self._changed.notify_all()

    async def _safe(self, held: _Held) -> None:
        prefix = f"{held.checkpoint.folder}/"
        stored = [await self._store(f"{prefix}{name}", held.folder / name) for name in held.names]
        files = [FileInfo(file.name.removeprefix(prefix), file.size, file.sha256) for file in stored]
        await self._commit(held.checkpoint, files)


def _link(folder: Path, target: Path) -> Sequence[str]:
    """Links all files of a folder into a new one; their names. Raises FileMissing when one of them goes meanwhile."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if not names:
        raise FileMissing(f"the checkpoint {folder.name} has no files")
    if len(names) > MAX_FILES:
        raise AutomationError(f"the checkpoint {folder.name} has more than {MAX_FILES} files")
    try:
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(folder / name, target / name)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise FileMissing(f"the checkpoint {folder.name} cannot be held: {error.filename}: {error.strerror}") from error
    return names


async def _release(held: _Held) -> None:
    await asyncio.to_thread(shutil.rmtree, held.folder, ignore_errors=True)
