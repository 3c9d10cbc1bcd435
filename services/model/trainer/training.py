"""A whole training on one process: data, network, loop, end."""

from __future__ import annotations

from typing import Any

import torch

from services.model.domain.training.errors import DeviceMissing
from services.model.domain.training.resources import NoDevice
from services.model.trainer.data import dataset as data
from services.model.trainer.data.dataset import Dataset
from services.model.trainer.job import Job
from services.model.trainer.learning.assembly import assemble
from services.model.trainer.learning.loop import Loop, watched_metric
from services.model.trainer.ranks import Alone, Place, Ranks, Together
from services.model.trainer.reporter import Reporter
from services.model.trainer.result.environment import environment
from services.model.trainer.result.finish import Finish
from services.model.trainer.state.saver import Saver, latest
from services.model.trainer.state.state import State
from services.model.trainer.stopping import Stopping

LOAD_S = 600.0
"""Longest silence while data is read that is taken for work."""
MEETING = ".meeting"


def train(job: Job, place: Place, reporter: Reporter, stopping: Stopping) -> dict[str, Any] | None:
    """The result on the first process, None on the others. Raises TrainingError, ValidationError or Stopped."""
    device = choose_device(job, place)
    _prepare_torch(job, device)
    with reporter.busy(LOAD_S), stopping.at_once():
        dataset = on_device(data.load(job.manifest, job.spec), device)
    watched_metric(job.spec, dataset)  # before anything costs time
    ranks: Ranks = Together(place, device, job.out / MEETING) if place.world > 1 else Alone()
    loop, found = learn(job, dataset, device, ranks, reporter, stopping)
    if place.rank != 0 or loop.best is None:
        return None
    reporter.progress(1.0, "measuring and exporting")
    with stopping.at_once():
        return Finish(job, dataset, loop.state, loop.best, reporter).run(found)


def learn(  # noqa: PLR0917 - what train() has made
    job: Job, dataset: Dataset, device: torch.device, ranks: Ranks, reporter: Reporter, stopping: Stopping
) -> tuple[Loop, dict[str, Any]]:
    """The loop at its end, and what it ran on. Goes on from the latest checkpoint where there is one."""
    identity = {"definition": job.learning_digest, "data": dataset.digest}
    checkpoint = latest(job, identity, ranks)
    assembly = assemble(job.spec, dataset, device, ranks, checkpoint)
    found = environment(job, device, ranks.place, assembly.precision)
    reporter.environment(found)
    state = checkpoint.state if checkpoint else State()
    best = None
    if checkpoint is not None and state.best is not None:
        best = checkpoint.model if checkpoint.best is None else checkpoint.best
    saver = Saver(job.out, job.spec.checkpointing, identity, ranks, reporter, device=device)
    saver.last_step = state.step if checkpoint else None
    loop = Loop(
        job.spec, dataset, assembly, state, best, ranks=ranks, reporter=reporter, saver=saver, stopping=stopping
    )
    loop.run()
    return loop, found


def choose_device(job: Job, place: Place) -> torch.device:
    """Raises DeviceMissing where a GPU is asked for, there is none, and the CPU will not do."""
    if job.device == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", place.local % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return device
    if job.spec.resources.without_device is NoDevice.CPU:
        return torch.device("cpu")
    raise DeviceMissing(
        "a GPU is asked for, and torch sees none here: set spec.resources.device to DEVICE_CPU, or without_device to "
        "NO_DEVICE_CPU (train on the CPU then) or NO_DEVICE_WAIT (wait for an agent with a GPU)"
    )


def on_device(dataset: Dataset, device: torch.device) -> Dataset:
    """All parts resident on `device`."""
    if device.type == "cpu":
        return dataset
    parts = {name: windows.to(device) for name, windows in dataset.parts.items()}
    return Dataset(
        parts=parts,
        features=dataset.features,
        targets=dataset.targets,
        classes=dataset.classes,
        weights=dataset.weights,
        window=dataset.window,
        horizon=dataset.horizon,
        shape=dataset.shape,
        digest=dataset.digest,
    )


def _prepare_torch(job: Job, device: torch.device) -> None:
    torch.set_num_threads(job.threads)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    if job.spec.deterministic:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
