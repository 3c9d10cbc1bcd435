"""The supervisor as a process of its own, for `automesh up --detach`; and how to stop one, whoever started it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from automesh.local.leftovers import end_all, find, start_time
from automesh.local.lock import StackLock
from automesh.local.logfile import LogFile
from automesh.local.options import StackOptions
from automesh.local.program import StackError
from automesh.local.reason import last_words, start_line
from automesh.local.record import StackRecord
from automesh.local.stack import CANNOT_GO_ON, EXIT_ALREADY_RUNS, START_LIMIT_S, SUPERVISOR, AlreadyRuns
from automesh.local.state import LocalState

STOP_LIMIT_S = 60.0
_EXIT_LIMIT_S = 10.0  # for what an interpreter does at its end, once the stack is down
_LOOK_EVERY_S = 0.1


def start_detached(state: LocalState, options: StackOptions, seen: Callable[[StackRecord], None]) -> StackRecord:
    """Starts a supervisor that outlives this process; returns once all is ready. Blocks.

    Raises AlreadyRuns when another is faster, else StackError.
    """
    child = _spawn(state, options)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        code = child.poll()
        record = StackRecord.read(state.stack_file)
        if record is not None and record.pid == child.pid and code is None:
            seen(record)
            if record.ready:
                return record
        if code == EXIT_ALREADY_RUNS:
            raise AlreadyRuns(f"the stack in {state.folder} already runs")
        if code is not None:
            raise StackError(last_words(LogFile(state.log_of(SUPERVISOR))).removeprefix(f"{CANNOT_GO_ON}: "))
        time.sleep(_LOOK_EVERY_S)
    child.terminate()
    raise StackError(f"not ready within {START_LIMIT_S:g} s: see {state.logs}")


def stop_running(state: LocalState, *, limit_s: float = STOP_LIMIT_S) -> bool:
    """Stops the stack of the state folder; False when none ran (what a crash left is ended all the same). Blocks."""
    lock = StackLock(state.lock_file)
    record = StackRecord.read(state.stack_file)
    pid = lock.held_by()
    if pid is None:
        return _end_leftovers(state, record)
    supervisor = find(pid, start_time(pid))
    for number in (signal.SIGTERM, signal.SIGKILL):
        if supervisor is not None:
            with suppress(psutil.NoSuchProcess):
                supervisor.send_signal(number)
        if _eventually(lambda: lock.held_by() is None, limit_s):
            break
    if supervisor is not None:
        started = supervisor.create_time()
        _eventually(lambda: find(supervisor.pid, started) is None, _EXIT_LIMIT_S)
    _end_leftovers(state, StackRecord.read(state.stack_file))
    return True


def is_running(record: StackRecord | None) -> bool:
    """Whether the supervisor that wrote it lives."""
    return record is not None and find(record.pid, record.started) is not None


def _spawn(state: LocalState, options: StackOptions) -> subprocess.Popen[bytes]:
    with LogFile(state.log_of(SUPERVISOR)).open() as output:
        output.write(start_line(SUPERVISOR))
        return subprocess.Popen(
            [sys.executable, "-m", "automesh.local", options.to_json()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _eventually(condition: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def _end_leftovers(state: LocalState, record: StackRecord | None) -> bool:
    if record is None:
        return False
    count = end_all(record.processes.values())
    state.stack_file.unlink(missing_ok=True)
    return count > 0
