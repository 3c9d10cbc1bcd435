"""The agent's own task types, worked on through the real SDK against a fake orchestrator."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.sdk import Agent
from automesh.testing.agents import at_work
from automesh.testing.orchestrator import LIMIT_S, FakeOrchestrator
from services.agent.clients.generator.generation import Log, Progress
from services.agent.clients.sandbox.sandbox import Sandbox
from services.agent.clients.work_dir import WorkDir, opened
from services.agent.domain.generation import CoverageFigures, Dropped, ModuleNotFound, TestGenerationRequest, TestReport
from services.agent.handlers.generation import TestGeneration
from services.agent.handlers.noop import noop


class FakeGenerator:
    """Writes one test; blocks or fails when told to."""

    def __init__(self) -> None:
        self.requests: list[TestGenerationRequest] = []
        self.workspace: Path | None = None
        self.blocks = False
        self.error: Exception | None = None

    async def __call__(
        self, request: TestGenerationRequest, *, sandbox: Sandbox, workspace: Path, progress: Progress, log: Log
    ) -> TestReport:
        self.requests.append(request)
        self.workspace = workspace
        await progress(0.5, "generating")
        await log("hello from the generator")
        if self.error is not None:
            raise self.error
        if self.blocks:
            await asyncio.Event().wait()
        (workspace / "tests").mkdir()
        (workspace / "tests" / "test_it.py").write_text("def test_it(): pass\n")
        coverage = CoverageFigures(covered_lines=9, total_lines=10, covered_branches=1, total_branches=2)
        return TestReport(
            module=request.module,
            passed=1,
            dropped=Dropped(flaky=2),
            coverage=coverage,
            files=("test_it.py",),
            seconds=1.0,
        )


@pytest.fixture
def work_dir(tmp_path: Path) -> Iterator[WorkDir]:
    with opened(tmp_path / "work", "inst_1") as work_dir:
        yield work_dir


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator()


def generating(generator: FakeGenerator, work_dir: WorkDir, unavailable: str = "") -> Agent:
    agent = Agent(name="agent")
    agent.task("test_generation")(TestGeneration(generator, Sandbox(), work_dir, unavailable=unavailable).run)
    return agent


def nothing() -> Agent:
    agent = Agent(name="agent")
    agent.task("noop")(noop)
    return agent


async def test_noop_returns_what_it_is_given() -> None:
    async with FakeOrchestrator() as fake, at_work(nothing(), fake):
        done = await fake.done(fake.lease("noop", {"result": {"any": [1, "thing", None]}, "sleep_s": 0.01}))

    assert MessageToDict(done.result) == {"result": {"any": [1.0, "thing", None]}, "slept_s": 0.01}


@pytest.mark.parametrize(
    ("given", "reason", "retryable", "words"),
    [
        ({"fail": "permanent"}, "ASKED_TO_FAIL", False, "for good"),
        ({"fail": "retryable"}, "ASKED_TO_FAIL", True, "attempt 1"),
        ({"fail": "maybe"}, "VALIDATION", False, "'permanent' or 'retryable'"),
        ({"sleep_s": 61}, "VALIDATION", False, "from 0 to 60"),
        ({"sleep_s": -1}, "VALIDATION", False, "from 0 to 60"),
        ({"sleep_s": True}, "VALIDATION", False, "a number"),
        ({"slep_s": 1}, "VALIDATION", False, "unknown keys 'slep_s'; known are 'sleep_s'"),
    ],
)
async def test_noop_fails_as_it_is_told_and_refuses_what_it_does_not_know(
    given: dict[str, Any], reason: str, retryable: bool, words: str
) -> None:
    async with FakeOrchestrator() as fake, at_work(nothing(), fake):
        done = await fake.done(fake.lease("noop", given))

    assert (done.failure.reason, done.failure.retryable) == (reason, retryable)
    assert words in done.failure.message


async def test_generated_tests_and_the_report_become_artifacts_and_the_report_the_result(
    generator: FakeGenerator, work_dir: WorkDir
) -> None:
    async with FakeOrchestrator() as fake, at_work(generating(generator, work_dir), fake):
        token = fake.lease("test_generation", {"module": "packaging.version", "budget_s": 7})
        done = await fake.done(token)

    assert generator.requests == [TestGenerationRequest(module="packaging.version", budget_s=7.0)]
    assert fake.artifacts["tests/test_it.py"] == b"def test_it(): pass\n"
    assert json.loads(fake.artifacts["report.json"])["line_coverage"] == 90.0
    assert (done.result["passed"], done.result["module"]) == (1, "packaging.version")
    assert fake.of("log", token)[0].lines == ["hello from the generator"]
    assert fake.of("progress", token)[-1].fraction == 1.0


@pytest.mark.parametrize("ends", ["done", "failed", "cancelled"])
async def test_the_scratch_folder_is_private_and_always_removed(
    generator: FakeGenerator, work_dir: WorkDir, ends: str
) -> None:
    generator.blocks = ends == "cancelled"
    generator.error = ModuleNotFound("there is no module x") if ends == "failed" else None
    async with FakeOrchestrator() as fake, at_work(generating(generator, work_dir), fake) as worker:
        token = fake.lease("test_generation", {"module": "x"})
        if ends == "cancelled":
            await fake.hears("log", token)
            assert generator.workspace is not None
            assert generator.workspace.stat().st_mode & 0o777 == 0o700
            fake.say(cancel=pb.Cancel(lease_token=token))
        else:
            done = await fake.done(token)
            assert done.failure.reason == {"done": "", "failed": "MODULE_NOT_FOUND"}[ends]
        async with asyncio.timeout(LIMIT_S):
            while worker.running or generator.workspace is None or generator.workspace.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # a thread removes it and tells nobody


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "dotted module name"),
        ({"module": "os; rm -rf /"}, "dotted module name"),
        ({"module": "x", "budget_s": 1e9}, "budget_s"),
        ({"module": "x", "modul": "y"}, "'modul'"),
        ({"module": 7}, "module must be a text"),
    ],
)
async def test_input_that_makes_no_sense_is_refused_for_good(
    generator: FakeGenerator, work_dir: WorkDir, given: dict[str, Any], words: str
) -> None:
    async with FakeOrchestrator() as fake, at_work(generating(generator, work_dir), fake):
        done = await fake.done(fake.lease("test_generation", given))

    assert (done.failure.reason, done.failure.retryable) == ("VALIDATION", False)
    assert words in done.failure.message
    assert generator.requests == []


async def test_without_a_sandbox_the_task_fails_for_good_and_says_what_to_do(
    generator: FakeGenerator, work_dir: WorkDir
) -> None:
    agent = generating(generator, work_dir, unavailable="no user namespaces here: allow them")
    async with FakeOrchestrator() as fake, at_work(agent, fake):
        done = await fake.done(fake.lease("test_generation", {"module": "x"}))

    assert (done.failure.reason, done.failure.retryable) == ("SANDBOX_UNAVAILABLE", False)
    assert "allow them" in done.failure.message
    assert generator.requests == []
