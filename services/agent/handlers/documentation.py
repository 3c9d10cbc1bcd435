"""The task type `documentation`: reference pages of a Python package, written from its source, stored in a space."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict

from automesh.doc.v1 import job_pb2
from automesh.sdk import LeasedTask, PermanentError, RetryableError, TaskContext
from services.agent.clients.program.failure import outcome
from services.agent.clients.program.program import Program, ProgramLimits, Programs
from services.agent.clients.work_dir import WorkDir
from services.agent.domain.documentation import DocumentationRequest
from services.agent.domain.files import place
from services.agent.domain.program import End, Progress, Stopped, file_names

TYPE = "documentation"
DESCRIPTION = (
    "Writes reference documentation of a Python package from its source, without running it, into a space. "
    'Input: {"space": "handbook"; "prefix": "reference"; "branch"; "package": "packaging"; "path": folder that holds '
    'it, empty for an installed one; "private": true for names with _ as well; "delete_missing"; "message"}. '
    "Space and package are required."
)
WRITER = "services.agent.reference"
WRITTEN = 0.7  # of the progress; the rest is storing
MEMORY_BYTES = 4 * 1024**3
SHOWN_PROBLEMS = 20

FindSource = Callable[[DocumentationRequest], Path]
"""The file of the package, or of the module. Raises ModuleNotFound, ValidationError."""


class Stores(Protocol):
    """Keeps files in the space of a task."""

    async def store(self, lease_token: bytes, files: Mapping[str, bytes | Path]) -> job_pb2.Job: ...


class DocumentationWriting:
    """A sdk Handler, as `run`."""

    def __init__(
        self, documentation: Stores, find: FindSource, programs: Programs, work_dir: WorkDir, *, silence_s: float
    ) -> None:
        """`silence_s`: a program that says nothing for so long is taken to hang."""
        self._documentation, self._find = documentation, find
        self._programs, self._work_dir = programs, work_dir
        self._limits = ProgramLimits(silence_s=silence_s, memory_bytes=MEMORY_BYTES)

    async def run(self, task: LeasedTask, context: TaskContext) -> Mapping[str, Any]:
        """The result: what was written, where, and what became of the files in the space."""
        request = DocumentationRequest.from_input(task.input)
        source = self._find(request)
        async with self._work_dir.attempt() as folder:
            written = await self._write(request, source, folder, context)
            files = {name: place(folder / "out", name) for name in file_names(written)}
            for line in written.get("skipped", []):
                context.log(f"left out {line.get('module')}: {line.get('why')}")
            context.progress(WRITTEN, f"storing {len(files)} pages in {request.space}")
            job = await self._documentation.store(context.lease_token, files)
        return _result(request, written, job)

    async def _write(
        self, request: DocumentationRequest, source: Path, folder: Path, context: TaskContext
    ) -> Mapping[str, Any]:
        job = {"package": request.package, "file": str(source), "private": request.private}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        command = [self._programs.python, "-m", WRITER, str(folder)]
        async with self._programs.running(
            "the writer of documentation", command, folder=folder, env={}, limits=self._limits, say=context.log
        ) as program:
            return outcome(await program.attended(_listen(program, context)))


async def _listen(program: Program, context: TaskContext) -> End:
    async for event in program.events():
        if isinstance(event, Progress):
            context.progress(WRITTEN * event.fraction, event.message)
        elif isinstance(event, End):
            return event
    return Stopped()


def _result(request: DocumentationRequest, written: Mapping[str, Any], job: job_pb2.Job) -> Mapping[str, Any]:
    if job.state == job_pb2.JOB_STATE_FAILED:
        raise PermanentError("DOCUMENTATION_NOT_STORED", f"the space did not take it: {job.failure}")
    if job.state != job_pb2.JOB_STATE_DONE:
        raise RetryableError("DOCUMENTATION_NOT_STORED", f"the pages are not stored yet: {job.job_id} is not done")
    tally = MessageToDict(job.tally, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    problems = [{"path": each.path, "message": each.message} for each in job.problems[:SHOWN_PROBLEMS]]
    return {
        "space": request.space,
        "prefix": request.prefix,
        "package": request.package,
        "job_id": job.job_id,
        "tally": {name: int(count) for name, count in tally.items()},
        "problems": problems,
        **{name: written.get(name, 0) for name in ("modules", "pages", "names")},
        "skipped": list(written.get("skipped", [])),
    }
