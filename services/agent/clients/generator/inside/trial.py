"""Runs test files with pytest and measures one module with coverage: argv is TASK (a JSON file), JOURNAL, COVERAGE.

The journal gets a line when a test starts and one when it ends, so that a test that kills the process is known.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import coverage

TEST_CPU_S = 8.0  # what computes longer is no unit test
TEST_WALL_S = 25.0  # what waits longer neither; a busy machine is not yet a hanging test


class Journal:
    """A pytest plugin: order, time limit, journal, and a coverage context for each test."""

    def __init__(self, file: TextIO, task: dict[str, Any], measured: coverage.Coverage) -> None:
        self._file = file
        self._task = task
        self._measured = measured
        self._failed = False

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        skipped = set(self._task["skip"])
        items[:] = [item for item in items if _key(item.nodeid) not in skipped]
        if self._task["order"] == "reversed":
            items.reverse()
        elif self._task["order"] == "shuffled":
            random.Random(self._task["seed"]).shuffle(items)  # noqa: S311 - an order, no secret

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._failed = False
        if self._task["contexts"]:
            self._measured.switch_context(_key(nodeid))
        self._note(_key(nodeid), "started")
        _limit(TEST_CPU_S, TEST_WALL_S)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._failed = self._failed or report.outcome != "passed"

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        _limit(0, 0)
        self._note(_key(nodeid), "failed" if self._failed else "passed")

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._note(str(report.longrepr)[-500:], "uncollected")

    def _note(self, name: str, event: str) -> None:
        self._file.write(json.dumps({"test": name, "event": event}) + "\n")
        self._file.flush()


def _key(nodeid: str) -> str:
    """`file.py::test`, wherever the file lies."""
    return nodeid.rpartition("/")[2]


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"a test took more than {TEST_CPU_S} s of CPU time or {TEST_WALL_S} s")


def _limit(cpu_s: float, wall_s: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    signal.setitimer(signal.ITIMER_REAL, wall_s)


def main(task_file: str, journal: str, report: str) -> None:
    task = json.loads(Path(task_file).read_text(encoding="utf-8"))
    sys.path[:0] = task["paths"]
    measured = coverage.Coverage(data_file=None, branch=True, include=[task["file"]], config_file=False)
    if task["measured"]:
        measured.start()  # before pytest, which may import the very module
    import pytest  # noqa: PLC0415 - only now

    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, _too_long)
    with open(journal, "w", encoding="utf-8") as file:
        plugin = Journal(file, task, measured)
        arguments = ["-q", "--tb=line", "--noconftest", "-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin"]
        arguments += ["-c", os.devnull, "--rootdir", task["tests"], "--import-mode=importlib", "-W", "ignore"]
        arguments += [f"--hypothesis-seed={task['seed']}"] if task["seed"] else []
        started = time.monotonic()
        pytest.main([*arguments, task["tests"]], plugins=[plugin])
        if task["measured"]:
            measured.stop()
            _write_report(measured, task, report)
        file.write(json.dumps({"test": f"{time.monotonic() - started:.1f} s", "event": "finished"}) + "\n")


def _write_report(measured: coverage.Coverage, task: dict[str, Any], report: str) -> None:
    try:
        measured.json_report(outfile=report, show_contexts=task["contexts"])
    except coverage.exceptions.NoDataError:
        Path(report).write_text("{}", encoding="utf-8")
