"""The task type `data_processing`: makes a version of a dataset, with the data service's own program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automesh.core.errors import AutomationError
from automesh.sdk import LeasedTask, PermanentError, TaskContext
from services.agent.clients.datasets import Datasets
from services.agent.clients.program.failure import outcome
from services.agent.clients.program.program import Program, ProgramLimits, Programs
from services.agent.clients.work_dir import WorkDir
from services.agent.domain.files import place
from services.agent.domain.processing import ProcessingClaim, ProcessingEnd
from services.agent.domain.program import End, Progress, Stopped, file_names
from services.agent.handlers.failure import tell_failure

TYPE = "data_processing"
DESCRIPTION = (
    "Makes a version of a dataset: reads its source, runs a pipeline, checks and stores the rows. "
    'Input: {"data_id": ..., "version": ...} as the data service submits it, or a ProcessDataRequest as JSON.'
)
PROCESSOR = "services.data.processor"
LIBRARIES = ("polars", "pandera")
REJECTED = "DATA_REJECTED"
FETCHED, PROCESSED = 0.1, 0.9  # of the progress


class DataProcessing:
    """A sdk Handler, as `run`."""

    def __init__(self, datasets: Datasets, programs: Programs, work_dir: WorkDir, *, silence_s: float) -> None:
        """`silence_s`: a program that says nothing for so long is taken to hang."""
        self._datasets = datasets
        self._programs = programs
        self._work_dir = work_dir
        self._limits = ProgramLimits(silence_s=silence_s)

    async def run(self, task: LeasedTask, context: TaskContext) -> Mapping[str, Any]:
        """The result names the version. Data that does not meet its expectations fails the task for good."""
        claim = await self._datasets.claim(context.lease_token)
        if claim.result is not None:
            return _as_before(claim.result)
        try:
            end = await self._make(claim, context)
        except AutomationError as error:
            await tell_failure(TYPE, error, lambda reason, message: self._datasets.fail(claim, reason, message))
            raise
        return _accepted(end)

    async def _make(self, claim: ProcessingClaim, context: TaskContext) -> ProcessingEnd:
        async with self._work_dir.attempt() as folder:
            out = _prepared(folder, claim.job)
            for number, file in enumerate(claim.inputs):
                context.progress(FETCHED * number / len(claim.inputs), f"fetching {file.name}")
                await self._datasets.fetch(claim, file, place(folder / "in", file.name))
            manifest = await self._process(folder, context)
            names = file_names(manifest)
            for number, name in enumerate(names):
                context.progress(PROCESSED + (1 - PROCESSED) * number / len(names), f"storing {name}")
                await self._datasets.store(claim, name, place(out, name))
            return await self._datasets.finish(claim, json.dumps(manifest).encode())

    async def _process(self, folder: Path, context: TaskContext) -> Mapping[str, Any]:
        command = [self._programs.python, "-m", PROCESSOR, str(folder)]
        async with self._programs.running(
            "the data processor", command, folder=folder, env={}, limits=self._limits, say=context.log
        ) as program:
            return outcome(await program.attended(_listen(program, context)))


async def _listen(program: Program, context: TaskContext) -> End:
    async for event in program.events():
        if isinstance(event, Progress):
            context.progress(FETCHED + (PROCESSED - FETCHED) * event.fraction, event.message)
        elif isinstance(event, End):
            return event
    return Stopped()


def _prepared(folder: Path, job: bytes) -> Path:
    """Makes the folders of the contract, and returns that of the outputs."""
    out = folder / "out"
    for each in (folder / "in", out):
        each.mkdir()
    (folder / "job.json").write_bytes(job)
    return out


def _as_before(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an earlier attempt could not say."""
    state = str(result.get("state", ""))
    if state.endswith("REJECTED"):
        raise PermanentError(REJECTED, "the data does not meet its expectations: the version's report says which")
    if state.endswith("FAILED"):
        raise PermanentError("DATA_FAILED", "an earlier attempt failed for good: the version says why")
    return result


def _accepted(end: ProcessingEnd) -> Mapping[str, Any]:
    if end.rejected:
        raise PermanentError(REJECTED, end.rejected)
    return end.result
