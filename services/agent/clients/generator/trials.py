"""Runs candidate tests in the sandbox, and goes on without those that take the process with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.agent.clients.generator.inside_run import InsideRun
from services.agent.clients.generator.module_search import FoundModule
from services.agent.clients.generator.workspace import Workspace
from services.agent.domain.generation import CoverageFigures
from services.agent.domain.measurement import Journal, read_coverage, read_journal
from services.agent.domain.sandbox import Limits

MAX_KILLERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a trial differs from the others."""

    name: str
    seed: int  # of Hypothesis; 0 leaves what the file says
    hash_seed: int
    order: str  # given, reversed or shuffled
    measured: bool = True  # without coverage it runs faster, and a little differently
    contexts: bool = False  # note what each test covers


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of one."""

    passed: Mapping[str, bool]
    figures: CoverageFigures = field(default_factory=CoverageFigures)
    lines: Mapping[str, frozenset[int]] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()


class Trials:
    """For one module."""

    def __init__(self, inside: InsideRun, workspace: Workspace, module: FoundModule, limits: Limits) -> None:
        self._inside = inside
        self._workspace = workspace
        self._module = module
        self._limits = limits

    async def run(self, files: Mapping[str, str], manner: Manner, *, paths: Sequence[str]) -> Trial:
        for name, text in files.items():
            self._workspace.put(f"{manner.name}/{name}", text)
        killers: list[str] = []
        passed: dict[str, bool] = {}
        complaints: list[str] = []
        report = b""
        for _ in range(MAX_KILLERS + 1):
            journal, report, ending = await self._attempt(manner, killers, paths)
            passed |= journal.passed
            complaints += journal.complaints
            if journal.killer is None:
                break
            killers.append(journal.killer)
            complaints.append(f"{journal.killer} ended its run: {ending}")
        passed |= dict.fromkeys(killers, False)
        if not manner.measured or not report:  # without a report the process died: what it had tried is told
            return Trial(passed=passed, complaints=tuple(complaints))
        try:
            figures, lines = read_coverage(report)
        except ValueError as error:
            return Trial(passed=passed, complaints=(*complaints, str(error)))
        return Trial(passed=passed, figures=figures, lines=lines, complaints=tuple(complaints))

    async def _attempt(
        self, manner: Manner, killers: Sequence[str], paths: Sequence[str]
    ) -> tuple[Journal, bytes, str]:
        task = self._workspace.put(
            f"{manner.name}.json",
            {
                "paths": list(paths),
                "file": str(self._module.file),
                "tests": str(self._workspace.inputs / manner.name),
                "skip": list(killers),
                "seed": manner.seed,
                "order": manner.order,
                "measured": manner.measured,
                "contexts": manner.contexts,
            },
        )
        outcome, results = await self._inside.run(
            "trial",
            [str(task)],
            results=["journal.jsonl", "coverage.json"],
            limits=self._limits,
            hash_seed=manner.hash_seed,
        )
        journal = read_journal(results.get("journal.jsonl", b""))
        return journal, results.get("coverage.json", b""), f"{outcome.ending}, {outcome.last_lines(2)}"
