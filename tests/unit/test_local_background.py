"""Stopping a supervisor that runs elsewhere: asked first, then made to; and what a crash left is ended."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from automesh.local.background import is_running, start_detached, stop_running
from automesh.local.leftovers import find, start_time
from automesh.local.options import StackOptions
from automesh.local.program import StackError
from automesh.local.record import ProcessRecord, StackRecord
from automesh.local.stack import AlreadyRuns
from automesh.local.state import LocalState

HOLDS = """
import pathlib, signal, sys, time
from automesh.local.lock import StackLock
lock = StackLock(pathlib.Path(sys.argv[1]))
assert lock.acquire()
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    state = LocalState(tmp_path / "state")
    state.prepare()
    return state


def holder_of(state: LocalState, manner: str) -> "subprocess.Popen[bytes]":
    """Stands in for a supervisor."""
    command = [sys.executable, "-c", HOLDS, str(state.lock_file), manner]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


@pytest.mark.parametrize("manner", ["polite", "deaf"])
def test_a_supervisor_is_stopped_whether_it_listens_or_not(state: LocalState, manner: str) -> None:
    with holder_of(state, manner) as supervisor:
        StackRecord(pid=supervisor.pid, started=start_time(supervisor.pid)).write(state.stack_file)
        assert is_running(StackRecord.read(state.stack_file))
        assert stop_running(state, limit_s=1)
        assert find(supervisor.pid, start_time(supervisor.pid)) is None
    assert not state.stack_file.exists()


def test_what_a_killed_supervisor_left_is_ended_by_down(state: LocalState) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as orphan:
        left = ProcessRecord(pid=orphan.pid, started=start_time(orphan.pid))
        StackRecord(pid=1, processes={"agent": left}).write(state.stack_file)
        assert stop_running(state)
        assert find(orphan.pid, left.started) is None
    assert not state.stack_file.exists()


def test_nothing_to_stop_is_told(state: LocalState) -> None:
    assert not stop_running(state)


def test_a_detached_start_that_another_was_faster_with_says_so(state: LocalState) -> None:
    with holder_of(state, "polite") as supervisor:
        with pytest.raises(AlreadyRuns):
            start_detached(state, StackOptions(state_dir=state.folder), lambda _record: None)
        supervisor.kill()


def test_a_detached_start_that_fails_is_told_with_the_supervisors_last_words(state: LocalState) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        options = StackOptions(state_dir=state.folder, port=server.getsockname()[1], registry="embedded")
        with pytest.raises(StackError, match=r"^port \d+ for the gateway is taken by"):
            start_detached(state, options, lambda _record: None)
