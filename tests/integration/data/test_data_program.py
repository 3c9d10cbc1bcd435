"""The program as the agent starts it: its lines, its end, and what becomes of it when it is stopped or dies."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from services.data.processor.supervisor import CRASHED

COMMAND = [sys.executable, "-m", "services.data.processor"]
LIMIT_S = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path


def give(folder: Path, **generator: int) -> None:
    job = {"op": "process", "pipeline": {}, "source": {"kind": "generator", "generator": generator}}
    (folder / "job.json").write_text(json.dumps(job))


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def test_a_job_is_done_and_nothing_but_its_output_stays(folder: Path) -> None:
    give(folder, samples=20, steps=10, features=2)
    process = start(*COMMAND, str(folder))
    said, complaints = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, complaints) == (0, "")
    assert lines(said)[-1]["kind"] == "done"
    assert sorted(path.name for path in folder.iterdir()) == ["in", "job.json", "out"]


def test_without_a_folder_it_says_how_it_is_called() -> None:
    process = start(*COMMAND)
    _, complaints = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert "usage: python -m services.data.processor FOLDER" in complaints


def test_sigterm_stops_it_in_the_middle_of_its_work(folder: Path) -> None:
    give(folder, samples=20_000, steps=1000, features=50)
    process = start(*COMMAND, str(folder))
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert first["kind"] == "progress"
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert lines(said)[-1] == {"kind": "stopped"}
    assert time.monotonic() - began < 10


def test_a_work_that_dies_is_told_by_the_exit_status(folder: Path) -> None:
    """A reader that crashes while it reads has found a bad file; any other death may not happen again."""
    work = """
import os, signal, sys
from services.data.processor.events import progress
from services.data.processor.supervisor import supervise
def work():
    progress(0.0, sys.argv[1])
    if sys.argv[2] == "raise":
        raise RuntimeError("out of luck")
    os.kill(os.getpid(), int(sys.argv[2]))
    signal.pause()
sys.exit(supervise(work))
"""
    for what, how, code, end in [
        ("reading", str(int(signal.SIGABRT)), 0, "DATA_UNREADABLE"),
        ("writing", str(int(signal.SIGABRT)), 128 + signal.SIGABRT, None),
        ("reading", str(int(signal.SIGKILL)), 128 + signal.SIGKILL, None),
        ("writing", "raise", CRASHED, None),
    ]:
        process = start(sys.executable, "-c", work, what, how)
        said, complaints = process.communicate(timeout=LIMIT_S)
        assert process.returncode == code, complaints
        assert lines(said)[-1].get("reason") == end
        assert end is not None or "died without a word" in complaints


def test_it_is_alive_only_as_long_as_it_computes() -> None:
    """Heartbeats come from a work that moves, and none from one that hangs."""
    work = """
import sys, time
from services.data.processor import supervisor
supervisor.HEARTBEAT_S, supervisor.LOOK_EVERY_S = 0.05, 0.02
def work():
    end = time.monotonic() + 1
    while time.monotonic() < end:
        sys.argv[1] == "hang" and time.sleep(0.5)  # this is the hang
    print('{"kind":"done"}', flush=True)
sys.exit(supervisor.supervise(work))
"""
    for how, beats in [("compute", True), ("hang", False)]:
        process = start(sys.executable, "-c", work, how)
        said, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0
        found = [line for line in lines(said) if line["kind"] == "heartbeat"]
        assert len(found) > 3 if beats else len(found) <= 2


def test_when_it_is_killed_its_work_dies_too(folder: Path) -> None:
    work = """
import os, signal, sys
from services.data.processor.supervisor import supervise
def work():
    print(os.getpid(), flush=True)
    signal.pause()
sys.exit(supervise(work))
"""
    process = start(sys.executable, "-c", work)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    ended = os.pidfd_open(child)
    process.kill()
    process.communicate(timeout=LIMIT_S)
    assert select.select([ended], [], [], 10)[0], "the work outlived its program"
    os.close(ended)


@pytest.mark.parametrize("bomb", [True, False])
def test_a_program_that_may_take_little_memory_says_so(folder: Path, bomb: bool) -> None:
    """Rows that expand beyond the limit of memory end the work, not the machine, and not in silence."""
    limit = f"""
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_DATA, ({400 * 1024**2}, {400 * 1024**2}))
sys.argv = ["processor", sys.argv[1]]
runpy.run_module("services.data.processor", run_name="__main__")
"""
    source: dict[str, Any] = {"kind": "generator", "generator": {"samples": 20_000, "steps": 1000}}
    if bomb:
        pl.select(pl.repeat(0, 60_000_000).alias("zero")).write_parquet(folder / "in" / "bomb.parquet")
        source = {"kind": "files", "files": [{"name": "bomb.parquet"}]}
    (folder / "job.json").write_text(json.dumps({"op": "process", "pipeline": {}, "source": source}))
    process = start(sys.executable, "-c", limit, str(folder))
    said, complaints = process.communicate(timeout=LIMIT_S)
    last = lines(said)[-1]
    assert last["kind"] == "failed", complaints
    assert last["reason"] in {"DATA_TOO_LARGE", "DATA_UNREADABLE"}
    assert last["retryable"] is False
