"""Reads what a trial reports: coverage.py's JSON and the journal. It was written by untrusted code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.agent.domain.generation import CoverageFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """How the tests of one trial went."""

    passed: Mapping[str, bool]
    killer: str | None  # the test that was running when the process died
    finished: bool
    complaints: tuple[str, ...] = ()


def read_journal(content: bytes) -> Journal:
    passed: dict[str, bool] = {}
    running: str | None = None
    finished = False
    complaints: list[str] = []
    for line in content.splitlines():
        test, event = _entry(line)
        if event == "started":
            running = test
        elif event in ("passed", "failed"):
            passed[test] = event == "passed"
            running = None
        elif event == "uncollected":
            complaints.append(test)
        elif event == "finished":
            finished = True
    return Journal(passed=passed, killer=running, finished=finished, complaints=tuple(complaints))


def _entry(line: bytes) -> tuple[str, str]:
    try:
        entry = json.loads(line)
        return str(entry["test"]), str(entry["event"])
    except (ValueError, TypeError, KeyError):  # the last line of a process that died while writing
        return "", ""


def read_coverage(content: bytes) -> tuple[CoverageFigures, dict[str, frozenset[int]]]:
    """Figures of the one measured file, and the lines that each test reaches where contexts were recorded.

    Raises ValueError for anything that is no such report.
    """
    try:
        files = json.loads(content).get("files", {})
        if len(files) > 1:
            raise ValueError("the coverage report is about more than one file")
        for file in files.values():
            return _figures(file["summary"]), _lines(file.get("contexts", {}))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("this is not a coverage report") from error
    return CoverageFigures(), {}


def _figures(summary: Mapping[str, Any]) -> CoverageFigures:
    return CoverageFigures(
        covered_lines=int(summary["covered_lines"]),
        total_lines=int(summary["num_statements"]),
        covered_branches=int(summary["covered_branches"]),
        total_branches=int(summary["num_branches"]),
    )


def _lines(contexts: Mapping[str, list[str]]) -> dict[str, frozenset[int]]:
    reached: dict[str, set[int]] = {}
    for line, tests in contexts.items():
        for test in tests:
            reached.setdefault(test, set()).add(int(line))
    return {test: frozenset(lines) for test, lines in reached.items()}
