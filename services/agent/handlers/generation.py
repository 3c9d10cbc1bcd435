"""The task type `test_generation`: writes tests for a Python module, and stores those that hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from automesh.sdk import LeasedTask, TaskContext
from services.agent.clients.generator.generation import Log, Progress
from services.agent.clients.sandbox.sandbox import Sandbox
from services.agent.clients.work_dir import WorkDir
from services.agent.domain.generation import TestGenerationRequest, TestReport
from services.agent.domain.sandbox import SandboxUnavailable

TYPE = "test_generation"
DESCRIPTION = (
    "Writes tests for a Python module, runs them in a sandbox and keeps those that pass every time. "
    'Input: {"module": "packaging.version"; "path": folder that holds it, empty for an installed one; '
    '"budget_s": seconds to search, 5 to 600; "seed": a whole number}. Only module is required.'
)
REPORT = "report.json"
TESTS = "tests"
GENERATED = 0.98  # of the progress; the rest is storing


class Generate(Protocol):
    """Makes the tests; they end up in the folder `tests` of the workspace."""

    async def __call__(
        self, request: TestGenerationRequest, *, sandbox: Sandbox, workspace: Path, progress: Progress, log: Log
    ) -> TestReport: ...


class TestGeneration:
    """A sdk Handler, as `run`. Knows whether this machine can isolate what it runs."""

    __test__ = False  # the name is no test, whatever pytest believes

    def __init__(self, generate: Generate, sandbox: Sandbox, work_dir: WorkDir, *, unavailable: str = "") -> None:
        """`unavailable` says why nothing can be run here; empty when it can."""
        self._generate = generate
        self._sandbox = sandbox
        self._work_dir = work_dir
        self._unavailable = unavailable

    async def run(self, task: LeasedTask, context: TaskContext) -> Mapping[str, Any]:
        """Generates, then stores the tests and the report as artifacts. The result is the report."""
        request = TestGenerationRequest.from_input(task.input)
        if self._unavailable:
            raise SandboxUnavailable(self._unavailable)
        async with self._work_dir.attempt() as folder:
            said = _Said(context)
            report = await self._generate(
                request, sandbox=self._sandbox, workspace=folder, progress=said.progress, log=said.log
            )
            await _store(report, folder / TESTS, context)
        return report.to_result()


class _Said:
    """The context of a task as the generator knows it."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context

    async def progress(self, fraction: float, message: str) -> None:
        self._context.progress(fraction * GENERATED, message)

    async def log(self, line: str) -> None:
        self._context.log(line)


async def _store(report: TestReport, tests: Path, context: TaskContext) -> None:
    context.progress(GENERATED, "storing the tests")
    for name in report.files:
        await context.upload(f"{TESTS}/{name}", tests / name, "text/x-python")
    content = json.dumps(report.to_result(), indent=2).encode()
    await context.upload(REPORT, content, "application/json")
    context.progress(1.0, f"{report.passed} tests, {report.coverage.line_percent:g} % of the lines")
