"""Stands between the agent and a program: whatever becomes of the agent, nothing of the program is left behind.

    python -I -S guard.py --grace SECONDS --memory BYTES -- PROGRAM [ARGUMENT]...

Run as a script, standard library only. Its standard input is a pipe that the agent holds open: once that is closed (the
agent wants it so, or is dead) the program gets SIGTERM, and SIGKILL after the grace time. Its exit status is the
program's; 128 and the number of the signal where one killed it. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

CANNOT_START = 126  # as a shell says it
SIGNAL_BASE = 128
_ASKED = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LOOK_EVERY_S = 0.01
_KILL_WITHIN_S = 5.0  # a killed process that outlives this hangs in the kernel


def main(arguments: Sequence[str]) -> int:
    """Runs the program to its end and returns the exit status."""
    _, grace, _, memory, _, *program = arguments
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # whoever leaves the program's group and is orphaned becomes our child
    signal.pthread_sigmask(signal.SIG_BLOCK, _ASKED)  # until the child takes them as a program does
    for number in _ASKED:
        signal.signal(number, signal.SIG_IGN)  # meant for the agent, who tells us by closing the pipe
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        _become(program, guard, int(memory))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKED)
    return Guard(child, float(grace)).run()


def _become(program: list[str], guard: int, memory: int) -> None:
    os.setpgid(0, 0)
    for number in (*_ASKED, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKED)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:
        os._exit(CANNOT_START)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    try:
        if memory:
            # What can be written to: a GPU's driver reserves far more address space than there is memory.
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.execvp(program[0], program)  # noqa: S606 - becoming the program is the point
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cannot run {program[0]}: {error}\n")
        sys.stderr.flush()
        os._exit(CANNOT_START)


class Guard:
    """Watches one program."""

    def __init__(self, child: int, grace_s: float) -> None:
        self._child = child
        self._grace_s = grace_s
        with suppress(OSError):  # the child does it too: whoever is first
            os.setpgid(child, child)
        self._ended = os.pidfd_open(child)

    def run(self) -> int:
        """Until nothing of the program is left; its exit status."""
        poll = select.poll()
        poll.register(self._ended, select.POLLIN)
        poll.register(0, select.POLLIN | select.POLLHUP)
        if all(descriptor != self._ended for descriptor, _ in poll.poll()):
            self._stop()
        self._signal(signal.SIGKILL)  # those it had started; it is not yet reaped, so the number is its own
        _, status = os.waitpid(self._child, 0)
        _end_children()
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else SIGNAL_BASE - code

    def _stop(self) -> None:
        self._signal(signal.SIGTERM)
        poll = select.poll()
        poll.register(self._ended, select.POLLIN)
        poll.poll(self._grace_s * 1000)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child, number)


def _end_children() -> None:
    """Kills what has become our child, generation by generation, until nobody is left."""
    give_up = time.monotonic() + _KILL_WITHIN_S
    while time.monotonic() < give_up:
        for pid in _children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            time.sleep(_LOOK_EVERY_S)


def _children() -> list[int]:
    me = os.getpid()
    try:
        return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text(encoding="ascii").split()]
    except OSError:  # a kernel that does not list them: look through all
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _parent(entry) == me]


def _parent(entry: Path) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return 0


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
