"""Checkpoints on their way to safety, while the trainer goes on and removes the old ones."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from services.agent.clients.checkpoints import Checkpoints
from services.agent.domain.files import FileInfo
from services.agent.domain.program import Checkpoint

LIMIT_S = 10.0


class Trainer:
    """Its folder, and the service that its checkpoints are stored with."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.stored: dict[str, str] = {}
        self.committed: list[int] = []
        self.checkpoints = Checkpoints(self.out, self._store, self._commit)

    async def saves(self, step: int, *, best: bool = False, gone: bool = False) -> None:
        """Writes a checkpoint and tells of it; `gone`: it is removed before anybody has looked."""
        folder = self.out / f"checkpoints/{step:06}"
        folder.mkdir(parents=True)
        (folder / "model").write_text(f"weights of step {step}")
        if gone:
            self.removes(step)
        await self.checkpoints.add(Checkpoint(f"checkpoints/{step:06}", step, best))

    def removes(self, step: int) -> None:
        shutil.rmtree(self.out / f"checkpoints/{step:06}")

    @asynccontextmanager
    async def relayed(self) -> AsyncGenerator[None]:
        """While it is open all that waits is brought to safety; it closes when that is done."""
        relay = asyncio.create_task(self.checkpoints.run())
        try:
            yield
            async with asyncio.timeout(LIMIT_S):
                await self.checkpoints.flush()
        finally:
            relay.cancel()
            with suppress(asyncio.CancelledError):
                await relay

    def held(self) -> list[str]:
        return sorted(path.read_text() for path in self.out.with_name("held").rglob("model"))

    async def _store(self, name: str, path: Path) -> FileInfo:
        self.stored[name] = await asyncio.to_thread(path.read_text)
        return FileInfo(name, len(self.stored[name]), "0" * 64)

    async def _commit(self, checkpoint: Checkpoint, files: Sequence[FileInfo]) -> None:
        assert [file.name for file in files] == ["model"]
        self.committed.append(checkpoint.step)


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    return Trainer(tmp_path)


async def test_a_checkpoint_is_safe_although_the_trainer_has_removed_it(trainer: Trainer) -> None:
    await trainer.saves(1)
    trainer.removes(1)
    async with trainer.relayed():
        pass
    assert (trainer.committed, trainer.stored) == ([1], {"checkpoints/000001/model": "weights of step 1"})


async def test_the_best_and_the_newest_wait_and_nothing_else_takes_room(trainer: Trainer) -> None:
    for step in range(1, 6):
        await trainer.saves(step, best=step == 2)
        trainer.removes(step)
    assert trainer.held() == ["weights of step 2", "weights of step 5"]
    async with trainer.relayed():
        pass
    assert (trainer.committed, trainer.held()) == ([2, 5], [])


async def test_one_that_was_gone_too_early_is_left_out_and_the_next_is_safe(trainer: Trainer) -> None:
    async with trainer.relayed():
        await trainer.saves(1, gone=True)
        await trainer.saves(2)
    assert trainer.committed == [2]
