"""Test generation on real modules, good ones and bad ones."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.agent.clients.generator.generation import generate_tests
from services.agent.clients.sandbox.sandbox import Sandbox
from services.agent.domain.generation import (
    ModuleCrashed,
    ModuleImportFailed,
    ModuleImportTimedOut,
    ModuleNotFound,
    ModuleOutOfMemory,
    ModuleTooManyProcesses,
    ModuleUnfit,
    ModuleUsesNetwork,
    TestGenerationRequest,
    TestReport,
)

FindProcesses = Callable[[str], list[int]]
MODULES = Path(__file__).parents[2] / "fixtures" / "modules"
PYNGUIN = Path(__file__).parents[3] / ".tools" / "pynguin" / "bin" / "python"


class Told:
    """Notes progress and logs."""

    def __init__(self) -> None:
        self.fractions: list[float] = []
        self.lines: list[str] = []
        self.reached: dict[str, asyncio.Event] = {}

    async def progress(self, fraction: float, text: str) -> None:
        self.fractions.append(fraction)
        self.reached.setdefault(text, asyncio.Event()).set()

    async def log(self, line: str) -> None:
        self.lines.append(line)

    async def until(self, text: str) -> None:
        await self.reached.setdefault(text, asyncio.Event()).wait()


async def generate(
    sandbox: Sandbox, workspace: Path, module: str, told: Told | None = None, **options: Any
) -> TestReport:
    told = told or Told()
    return await generate_tests(
        TestGenerationRequest(module=module, path=str(MODULES), budget_s=5),
        sandbox=sandbox,
        workspace=workspace,
        progress=told.progress,
        log=told.log,
        source_roots=[MODULES],
        **options,
    )


def run_pytest(folder: Path, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--override-ini=addopts=", str(folder)],
        env={**os.environ, "PYTHONPATH": str(path)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_a_module_gets_tests_that_pass_for_a_person_too(sandbox: Sandbox, tmp_path: Path) -> None:
    told = Told()

    report = await generate(sandbox, tmp_path, "money", told)

    assert report.passed >= 10
    assert report.coverage.line_percent > 85
    assert report.coverage.branch_percent > 60
    assert report.files == ("test_money_properties.py",)
    assert "Pynguin is not installed" in report.notes[0]
    assert told.fractions == sorted(told.fractions)
    assert told.fractions[-1] == 1.0
    assert any("offers Money, shout, grade" in line for line in told.lines)
    done = await asyncio.to_thread(run_pytest, tmp_path / "tests", MODULES)
    assert f"{report.passed} passed" in done.stdout


@pytest.mark.skipif(not PYNGUIN.exists(), reason="there is no Pynguin here: run `make setup`")
@pytest.mark.slow
async def test_pynguin_adds_examples(sandbox: Sandbox, tmp_path: Path) -> None:
    report = await generate(sandbox, tmp_path, "money", pynguin=PYNGUIN)

    assert report.files == ("test_money_properties.py", "test_money_examples.py")
    assert report.notes == ()
    assert report.coverage.line_percent > 85
    done = await asyncio.to_thread(run_pytest, tmp_path / "tests", MODULES)
    assert f"{report.passed} passed" in done.stdout


@pytest.mark.slow
async def test_an_installed_module_needs_no_path(sandbox: Sandbox, tmp_path: Path) -> None:
    told = Told()

    report = await generate_tests(
        TestGenerationRequest(module="packaging.utils", budget_s=5),
        sandbox=sandbox, workspace=tmp_path, progress=told.progress, log=told.log,
    )  # fmt: skip

    assert report.passed > 0
    assert report.coverage.total_lines > 50
    assert report.coverage.line_percent > 50


@pytest.mark.slow
async def test_what_flickers_is_dropped_and_a_missing_pynguin_is_noted(sandbox: Sandbox, tmp_path: Path) -> None:
    report = await generate(sandbox, tmp_path, "flickering", pynguin=Path(sys.executable))

    assert report.passed == 0
    assert report.dropped.failed + report.dropped.flaky >= 1
    assert report.files == ()
    assert [note[:12] for note in report.notes] == ["Pynguin gave", "no test held"]


@pytest.mark.slow
async def test_functions_that_end_the_process_do_not_hide_the_others(sandbox: Sandbox, tmp_path: Path) -> None:
    told = Told()

    report = await generate(sandbox, tmp_path, "trapdoor", told)

    text = (tmp_path / "tests" / "test_trapdoor_properties.py").read_text()
    assert "def test_stay_answers_the_same_twice" in text
    assert "trapdoor.fall" not in text
    assert "trapdoor.slide" not in text
    assert report.dropped.failed >= 2
    assert any("ended its run" in line for line in told.lines)


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        ("broken", ModuleImportFailed, "RuntimeError: the flux capacitor is missing"),
        ("endless", ModuleImportTimedOut, r"did not come to the end of its import within \d+ s"),
        ("greedy", ModuleOutOfMemory, "memory"),
        ("rabbits", ModuleTooManyProcesses, "processes"),
        ("caller", ModuleUsesNetwork, "wants the network"),
        ("resolver", ModuleUsesNetwork, "wants the network"),
        ("quitter", ModuleCrashed, "crashed"),
    ],
)
async def test_a_module_that_cannot_be_tested_is_told_why(  # noqa: PLR0917 - pytest passes by name
    sandbox: Sandbox,
    tmp_path: Path,
    processes_with: FindProcesses,
    module: str,
    error: type[ModuleUnfit],
    message: str,
) -> None:
    with pytest.raises(error, match=message) as caught:
        await generate(sandbox, tmp_path, module)

    assert caught.value.metadata["module"] == module
    assert processes_with(str(tmp_path)) == []


async def test_a_module_that_does_not_exist_runs_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    told = Told()

    with pytest.raises(ModuleNotFound):
        await generate(sandbox, tmp_path, "nowhere", told)

    assert told.fractions == []


@pytest.mark.parametrize("phase", ["looking at the module", "trying the tests"])
async def test_cancelling_stops_it_and_leaves_no_process(
    sandbox: Sandbox, tmp_path: Path, processes_with: FindProcesses, phase: str
) -> None:
    told = Told()
    task = asyncio.ensure_future(generate(sandbox, tmp_path, "money", told))
    async with asyncio.timeout(60):
        await told.until(phase)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert processes_with(str(tmp_path)) == []
    assert sorted(os.listdir(tmp_path)) == ["inputs", "tests"]
