"""Generates tests for a module: looks at it, searches, tries what was found, and keeps what holds.

Everything that imports the module runs in the sandbox; here only texts and figures are handled.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from unicodedata import unidata_version

from automesh.core.errors import ValidationError
from services.agent.clients.generator.inside_run import HYPOTHESIS, InsideRun, as_mapping
from services.agent.clients.generator.module_search import FoundModule, find_module
from services.agent.clients.generator.trials import Manner, Trial, Trials
from services.agent.clients.generator.workspace import Workspace
from services.agent.clients.sandbox.interpreter import Interpreter
from services.agent.clients.sandbox.sandbox import Sandbox
from services.agent.domain import pace, refusals
from services.agent.domain.draft import Draft
from services.agent.domain.generation import ModuleCrashed, TestGenerationRequest, TestReport
from services.agent.domain.sandbox import MIB, Limits, Outcome
from services.agent.domain.selection import Selection, select

Progress = Callable[[float, str], Awaitable[None]]
Log = Callable[[str], Awaitable[None]]
T = TypeVar("T")

TICK_S = 0.5
TABLE = re.compile(r"[a-z0-9-]{1,40}\.json\.gz")
MEMORY_BYTES = 1024 * MIB
FINAL_ROUNDS = 3
MAX_COMPLAINTS = 5


async def generate_tests(
    request: TestGenerationRequest,
    *,
    sandbox: Sandbox,
    workspace: Path,
    progress: Progress,
    log: Log,
    pynguin: Path | None = None,
    source_roots: Sequence[Path] = (),
) -> TestReport:
    """Leaves the kept tests in `workspace`/tests. `workspace` must exist and be this generation's alone.

    `pynguin` is the interpreter of an environment that has it; without one Hypothesis works alone and the
    report says so. `source_roots` are folders a request may name. Raises ModuleNotFound, ModuleUnfit and
    SandboxUnavailable; cancelling it leaves no process.
    """
    started = time.monotonic()
    found = find_module(
        request.module, path=request.path, source_roots=source_roots, installed=sandbox.interpreter.roots
    )
    generation = _Generation(
        request, found, sandbox=sandbox, workspace=Workspace(workspace), pynguin=pynguin, progress=progress, log=log
    )
    report = await generation.run()
    await progress(1.0, "done")
    return replace(report, seconds=time.monotonic() - started)


class _Generation:
    """One generation under way."""

    def __init__(
        self,
        request: TestGenerationRequest,
        found: FoundModule,
        *,
        sandbox: Sandbox,
        workspace: Workspace,
        pynguin: Path | None,
        progress: Progress,
        log: Log,
    ) -> None:
        self._request = request
        self._found = found
        self._workspace = workspace
        self._pynguin = pynguin
        self._progress = progress
        self._log = log
        self._notes: list[str] = []
        self._told = 0.0
        self._own = sandbox.interpreter
        self._paths = [str(found.root)] if request.path else []
        visible = [*self._own.roots, *([found.root] if request.path else [])]
        self._inside = InsideRun(sandbox, workspace, visible)
        limits = Limits(wall_s=pace.trial_limit_s(request.budget_s), cpu_s=600.0, memory_bytes=MEMORY_BYTES)
        self._limits = limits
        self._trials = Trials(self._inside, workspace, found, limits)

    async def run(self) -> TestReport:
        survey = await self._survey()
        examples = await self._search(survey)
        draft = Draft(self._request.module, survey, examples)
        await self._log(f"{len(draft.candidates)} tests generated")
        selection = await self._try(draft)
        return await self._finish(draft, selection)

    async def _survey(self) -> Mapping[str, Any]:
        budget_s = self._request.budget_s
        limits = replace(self._limits, cpu_s=pace.survey_cpu_s(budget_s), wall_s=pace.survey_limit_s(budget_s))
        outcome, survey = await self._look("trying", limits)
        if not (survey and outcome.ok) and refusals.IMPORTED.encode() in outcome.stdout:
            await self._log("calling what it offers ended badly; going on without")
            outcome, survey = await self._look("gentle", limits)
        if survey is None or not outcome.ok:
            raise refusals.of_ending(self._request.module, outcome, limits)
        if survey.get("error"):
            detail = str(survey.get("detail", ""))
            raise refusals.of_error(self._request.module, str(survey["error"]), detail)
        self._share_tables(survey)
        await self._log(f"offers {', '.join(survey.get('targets', [])) or 'nothing public'}")
        return survey

    async def _look(self, manner: str, limits: Limits) -> tuple[Outcome, Mapping[str, Any] | None]:
        arguments = [self._request.module, manner, *self._paths]
        run = self._inside.run("survey", arguments, results=["survey.json"], limits=limits)
        outcome, results = await self._during(pace.SURVEY, limits.cpu_s / 2, run)
        return outcome, as_mapping(results.get("survey.json"))

    def _share_tables(self, survey: Mapping[str, Any]) -> None:
        """For the trials. Only names and sizes are checked: they are read where they were made, in the sandbox."""
        tables = survey.get("tables")
        for name, content in tables.items() if isinstance(tables, Mapping) else ():
            if TABLE.fullmatch(str(name)):
                with contextlib.suppress(ValueError):
                    table = base64.b64decode(str(content), validate=True)
                    self._workspace.put(f"{HYPOTHESIS}/unicode_data/{unidata_version}/{name}", table)

    async def _search(self, survey: Mapping[str, Any]) -> Mapping[str, Any]:
        """Pynguin's tests; nothing, with a note, where it is missing or fails."""
        if self._pynguin is None or not self._pynguin.exists():
            self._notes.append("Pynguin is not installed (make setup): tests by Hypothesis only")
            return {}
        try:
            interpreter = Interpreter.at(self._pynguin)
        except ValidationError as error:
            self._notes.append(f"Pynguin cannot be used: {error.message}")
            return {}
        seconds = pace.search_s(self._request.budget_s)
        project = Path(self._paths[0]) if self._paths else self._workspace.link("project", self._found.top)
        packages = [str(path) for root in self._own.roots for path in sorted(root.glob("lib/python*/site-packages"))]
        task = self._workspace.put(
            "search.json",
            {
                "module": self._request.module,
                "paths": [str(project), *packages],
                "known": survey.get("known", []),
                "seconds": seconds,
                "seed": self._request.seed,
            },
        )
        limits = replace(self._limits, wall_s=pace.search_limit_s(self._request.budget_s))
        run = self._inside.run(
            "examples", [str(task)], results=["examples.json"], limits=limits, interpreter=interpreter
        )
        outcome, results = await self._during(pace.SEARCH, seconds + pace.SEARCH_EXTRA_S, run)
        examples = as_mapping(results.get("examples.json")) or {"error": f"{outcome.ending}: {outcome.last_lines(2)}"}
        if examples.get("error"):
            self._notes.append(f"Pynguin gave nothing: {examples['error']}")
            return {}
        return examples

    async def _try(self, draft: Draft) -> Selection:
        manners = (
            Manner(name="first", seed=self._request.seed + 1, hash_seed=1, order="given", contexts=True),
            Manner(name="second", seed=self._request.seed + 2, hash_seed=2, order="reversed", measured=False),
        )
        files = draft.files(draft.candidates, steady=False)
        trials = await self._during(pace.TRIAL, self._request.budget_s / 4, self._side_by_side(files, manners))
        for complaint in [each for trial in trials for each in trial.complaints][:MAX_COMPLAINTS]:
            await self._log(complaint)
        selection = select(draft.candidates, [trial.passed for trial in trials], trials[0].lines)
        dropped = selection.dropped
        why = f"{dropped.failed} failed, {dropped.flaky} flickered, {dropped.duplicate} added nothing"
        await self._log(f"{len(selection.kept)} tests kept; of the others {why}")
        return selection

    async def _side_by_side(self, files: Mapping[str, str], manners: Sequence[Manner]) -> list[Trial]:
        """Waits for all of them also when one fails, so that none goes on alone."""
        runs = (self._trials.run(files, manner, paths=self._paths) for manner in manners)
        trials: list[Trial] = []
        for trial in await asyncio.gather(*runs, return_exceptions=True):
            if isinstance(trial, BaseException):
                raise trial
            trials.append(trial)
        return trials

    async def _finish(self, draft: Draft, selection: Selection) -> TestReport:
        """The last run is of the very files that are handed over; what fails even there is taken out."""
        kept, dropped = selection.kept, selection.dropped
        for number in range(FINAL_ROUNDS):
            files = draft.files(kept, steady=True)
            manner = Manner(name=f"final-{number}", seed=0, hash_seed=3 + number, order="shuffled")
            trial = await self._during(
                pace.FINAL, self._request.budget_s / 6, self._trials.run(files, manner, paths=self._paths)
            )
            steady = tuple(each for each in kept if trial.passed.get(each.key, False))
            if len(steady) == len(kept):
                return self._hand_over(files, TestReport(
                    module=self._request.module, passed=len(kept), dropped=dropped, coverage=trial.figures,
                    files=tuple(files), seconds=0.0, notes=tuple(self._notes),
                ))  # fmt: skip
            dropped = replace(dropped, flaky=dropped.flaky + len(kept) - len(steady))
            kept = steady
        raise ModuleCrashed(f"no set of tests of {self._request.module} passes twice", module=self._request.module)

    def _hand_over(self, files: Mapping[str, str], report: TestReport) -> TestReport:
        for name, text in files.items():
            (self._workspace.tests / name).write_text(text, encoding="utf-8")
        if not files:
            return replace(report, notes=(*report.notes, "no test held: there may be nothing public to test"))
        return report

    async def _tell(self, fraction: float, text: str) -> None:
        """Never less than before, also when a phase is gone through again."""
        self._told = max(self._told, fraction)
        await self._progress(self._told, text)

    async def _during(self, phase: pace.Phase, expected_s: float, work: Awaitable[T]) -> T:
        """Waits for the work and tells how far it may be."""
        task = asyncio.ensure_future(work)
        started = time.monotonic()
        await self._tell(phase.begins, phase.title)
        try:
            while not (await asyncio.wait({task}, timeout=TICK_S))[0]:
                await self._tell(pace.fraction(phase, time.monotonic() - started, expected_s), phase.title)
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
