"""When a checkpoint is due, what goes into it, which ones stay, and which one a training goes on from."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from services.model.domain.training.errors import CheckpointDamaged, CheckpointMismatch, CheckpointNotWritten
from services.model.domain.training.resources import Checkpointing
from services.model.trainer.job import Job
from services.model.trainer.learning.assembly import Assembly
from services.model.trainer.ranks import Ranks
from services.model.trainer.reporter import Reporter
from services.model.trainer.state import checkpoint as disk
from services.model.trainer.state import generators, weights
from services.model.trainer.state.checkpoint import Checkpoint
from services.model.trainer.state.state import State

FOLDER = "checkpoints"


@dataclass(frozen=True, slots=True)
class _Writing:
    """A checkpoint on its way to the disk."""

    done: Future[None]
    folder: Path
    state: State
    is_best: bool


class Saver:
    """Writes checkpoints below out/ and tells of them."""

    def __init__(
        self,
        out: Path,
        plan: Checkpointing,
        identity: Mapping[str, str],
        ranks: Ranks,
        reporter: Reporter,
        *,
        device: torch.device,
    ) -> None:
        self._out, self._plan, self._identity = out, plan, identity
        self._ranks, self._reporter, self._device = ranks, reporter, device
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: _Writing | None = None
        self.last_step: int | None = None
        """Of the newest checkpoint that is safe; None without one."""

    def due_in_epoch(self, step: int) -> bool:
        """After an optimizer step in the middle of an epoch."""
        return bool(self._plan.every_steps) and step % self._plan.every_steps == 0

    def due_after(self, epoch: int, step: int) -> bool:
        """After this many whole epochs."""
        return epoch % self._plan.every_epochs == 0 or self.due_in_epoch(step)

    def save(self, state: State, assembly: Assembly, best: Mapping[str, Tensor] | None) -> None:
        """All processes call it; the first writes, while the training goes on. The one before is safe by then."""
        self.settle()
        state.loss_sum = float(assembly.stepping.losses)
        is_best = state.best is not None and state.best.step == state.step and state.batch == 0
        taken = Checkpoint(
            state=state.copy(),
            model=weights.network_tensors(assembly.network),
            optimizer=weights.optimizer_tensors(assembly.network, assembly.optimizer),
            generators=self._generators(),
            best=None if is_best else best,
            identity=self._identity,
        )
        if self._ranks.place.rank == 0:
            folder = self._out / FOLDER / f"{state.step:06d}"
            self._writing = _Writing(self._writer.submit(disk.write, folder, taken), folder, taken.state, is_best)

    def settle(self, *, wait: bool = True) -> None:
        """Tells of the checkpoint that was being written, once it is safe. A full disk is told as well."""
        writing = self._writing
        if writing is None or not (wait or writing.done.done()):
            return
        self._writing = None
        try:
            writing.done.result()
        except CheckpointNotWritten as error:
            print(f"{error.reason}: {error.message}", file=sys.stderr, flush=True)  # noqa: T201 - for people
            return
        step, best = writing.state.step, writing.state.best
        self.last_step = step
        self._prune(step, best.step if best else None)
        self._reporter.checkpoint(f"{FOLDER}/{writing.folder.name}", step, best=writing.is_best)

    def _generators(self) -> dict[str, Tensor]:
        own = generators.capture(self._device)
        return {
            f"{rank}.{name}": tensor
            for name, state in own.items()
            for rank, tensor in enumerate(self._ranks.gather(state))
        }

    def _prune(self, newest: int, best: int | None) -> None:
        steps = sorted((int(path.name) for path in folders(self._out)), reverse=True)
        kept = {*[step for step in steps if step <= newest][: self._plan.keep_last], best}
        for path in folders(self._out):
            if int(path.name) not in kept:
                shutil.rmtree(path, ignore_errors=True)


def folders(out: Path) -> list[Path]:
    """Whole checkpoints below out/, the oldest first."""
    found = [path for path in (out / FOLDER).glob("*") if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def latest(job: Job, identity: Mapping[str, str], ranks: Ranks) -> Checkpoint | None:
    """What to go on from: what this folder's own trainer left, else what came with the job.

    Raises CheckpointDamaged or CheckpointMismatch for the one that came with the job.
    """
    if ranks.place.world > 1 and ranks.place.nodes > 1:
        _carry_over(job, ranks)
    given = disk.read(job.checkpoint, identity) if job.checkpoint and not folders(job.out) else None
    for folder in reversed(folders(job.out)):
        try:
            own = disk.read(folder, identity)
        except (CheckpointDamaged, CheckpointMismatch) as error:
            print(f"{error.reason}: {error.message}", file=sys.stderr, flush=True)  # noqa: T201 - for people
            continue
        given = _given_if_newer(job, identity, own)
        return given or own
    return given or (disk.read(job.checkpoint, identity) if job.checkpoint else None)


def _given_if_newer(job: Job, identity: Mapping[str, str], own: Checkpoint) -> Checkpoint | None:
    if job.checkpoint is None:
        return None
    try:
        given = disk.read(job.checkpoint, identity)
    except (CheckpointDamaged, CheckpointMismatch):  # ours is whole, that is enough
        return None
    return given if given.state.step > own.state.step else None


def _carry_over(job: Job, ranks: Ranks) -> None:
    """Checkpoints lie on the first node's disk: the others get its newest."""
    content = b""
    if ranks.place.rank == 0 and (own := folders(job.out)):
        files = {path.name: base64.b85encode(path.read_bytes()).decode() for path in own[-1].iterdir()}
        content = json.dumps({"folder": own[-1].name, "files": files}).encode()
    content = ranks.hand_out(content)
    if ranks.place.rank == 0 or ranks.place.local != 0 or not content:
        ranks.highest(0)  # wait until it lies there
        return
    sent = json.loads(content)
    folder = job.out / FOLDER / sent["folder"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in sent["files"].items():
        (folder / name).write_bytes(base64.b85decode(text))
    ranks.highest(0)
