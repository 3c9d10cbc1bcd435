"""The task type `model_training`: trains a model, with the model service's own program."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automesh.core.errors import AutomationError
from automesh.sdk import LeasedTask, TaskContext
from services.agent.clients.checkpoints import Checkpoints
from services.agent.clients.dataset_cache import DatasetCache
from services.agent.clients.points import PointReporter
from services.agent.clients.program.failure import outcome
from services.agent.clients.program.program import ProgramLimits, Programs
from services.agent.clients.trainings import Trainings
from services.agent.clients.work_dir import WorkDir
from services.agent.domain.files import place
from services.agent.domain.gpus import GpuLeases
from services.agent.domain.program import End, Stopped, file_names
from services.agent.domain.training import CUDA, TrainingClaim, command, environment
from services.agent.handlers.failure import tell_failure
from services.agent.handlers.training_relay import TrainingRelay

TYPE = "model_training"
GPU_TYPE = "model_training.gpu"
GPU_DESCRIPTION = "As model_training, for runs that need a GPU: the model service sends those here."
DESCRIPTION = (
    "Trains a model on a version of a dataset, streams its progress to the model service, registers what came of it. "
    'Input: {"run_id": ...} as the model service submits it, or a TrainingSpec as JSON.'
)
LIBRARIES = ("torch", "safetensors")
GRACE_S = 10.0  # a trainer that is stopped writes a checkpoint first
FETCHED, TRAINED = 0.02, 0.97  # of the progress


class ModelTraining:
    """A sdk Handler, as `run`."""

    def __init__(
        self,
        trainings: Trainings,
        cache: DatasetCache,
        gpus: GpuLeases,
        programs: Programs,
        work_dir: WorkDir,
        *,
        silence_s: float,
        stopping: asyncio.Event,
    ) -> None:
        """`silence_s`: a trainer that says nothing for so long is taken to hang, unless the run has a limit of its own.
        Once `stopping` is set, trainers write a checkpoint and end: the run goes on elsewhere."""
        self._trainings = trainings
        self._cache = cache
        self._gpus = gpus
        self._programs = programs
        self._work_dir = work_dir
        self._silence_s = silence_s
        self._stopping = stopping

    async def run(self, task: LeasedTask, context: TaskContext) -> Mapping[str, Any]:
        """The result names the model's new version, and its metrics."""
        claim = await self._trainings.claim(context.lease_token, self._gpus.gpus)
        if claim.result is not None:
            return claim.result
        try:
            return await self._make(claim, context)
        except AutomationError as error:
            if claim.reports:
                await tell_failure(TYPE, error, lambda reason, message: self._trainings.fail(claim, reason, message))
            raise

    async def _make(self, claim: TrainingClaim, context: TaskContext) -> Mapping[str, Any]:
        context.progress(0.0, "fetching the data")
        async with (
            self._cache.version(context.lease_token, claim.data_id, claim.data_version) as data,
            self._work_dir.attempt() as folder,
        ):
            _prepare(folder, claim.job, data)
            for file in claim.checkpoint:
                await self._trainings.fetch(claim, file, place(folder / "in" / "checkpoint", file.name))
            end = await self._train(claim, folder, context)
            if isinstance(end, Stopped) and self._stopping.is_set():
                await asyncio.Event().wait()  # until the agent leaves: the lease runs out, which costs no retry
            result = outcome(end)
            if not claim.reports:
                return {"run_id": claim.run_id}
            context.progress(TRAINED, "storing the model")
            for name in file_names(result):
                await self._trainings.store(claim, name, place(folder / "out", name))
            return await self._trainings.finish(claim, json.dumps(result).encode())

    async def _train(self, claim: TrainingClaim, folder: Path, context: TaskContext) -> End:
        count = claim.processes if claim.device == CUDA else 0
        limits = ProgramLimits(
            silence_s=(claim.silence_s or self._silence_s) if claim.reports else None,
            grace_s=GRACE_S,
            memory_bytes=claim.memory_bytes,
            speaks=claim.reports,
        )
        relay = self._relay(claim, folder / "out", context)
        async with self._gpus.lease(
            count, shared=claim.share_gpu, on_wait=lambda: context.progress(FETCHED, "waiting for a GPU")
        ) as gpus:
            context.progress(FETCHED, "starting the trainer")
            env = {**environment(claim.threads, gpus), "MPLCONFIGDIR": str(folder)}
            argv = command(self._programs.python, str(folder))
            async with self._programs.running(
                "the trainer", argv, folder=folder, env=env, limits=limits, say=context.log
            ) as program:
                return await program.attended(relay.run(program), self._stopping)

    def _relay(self, claim: TrainingClaim, out: Path, context: TaskContext) -> TrainingRelay:
        return TrainingRelay(
            context,
            PointReporter(lambda batch, points, about: self._trainings.report(claim, batch, points, about)),
            Checkpoints(
                out,
                lambda name, path: self._trainings.store(claim, name, path),
                lambda checkpoint, files: self._trainings.commit(claim, checkpoint, files),
            ),
            share=TRAINED,
        )


def _prepare(folder: Path, job: bytes, data: Path) -> None:
    """Makes the folders of the contract; the data is lent by the cache."""
    for name in ("in", "in/checkpoint", "out"):
        (folder / name).mkdir()
    (folder / "in" / "data").symlink_to(data)
    (folder / "job.json").write_bytes(job)
