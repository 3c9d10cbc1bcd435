"""Stands before the work: passes its lines on, says that it moves, and puts its death into words.

The work runs in a forked child, because readers of untrusted files can end a process (Rust aborts where there is no
memory; a damaged file may crash it). This process imports nothing that does so.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from services.data.processor.events import failed, say

LOOK_EVERY_S = 1.0
HEARTBEAT_S = 5.0
STOP_WITHIN_S = 2.0
MAX_LINE = 1024 * 1024
CRASHED = 70
_CRASHES = frozenset({signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
_PR_SET_PDEATHSIG = 1


def supervise(work: Callable[[], None]) -> int:
    """Runs the work in a child to its end; the exit status of the program."""
    stop_read, stop_write = os.pipe()
    os.set_blocking(stop_write, False)
    signal.set_wakeup_fd(stop_write)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # the pipe says it
    read, write = os.pipe()
    sys.stdout.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(read)
        _become(work, write, parent)
    os.close(write)
    return _Watch(child, read, stop_read).run()


def _become(work: Callable[[], None], write: int, parent: int) -> None:
    """The child: never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        _die_with(parent)
        os.dup2(write, 1)
        os.close(write)
        work()
        code = 0
    except BaseException:  # the traceback is all that is left to say
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _die_with(parent: int) -> None:
    import ctypes  # noqa: PLC0415  # the parent does without

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class _Watch:
    def __init__(self, child: int, lines: int, stop: int) -> None:
        self._child = child
        self._lines = lines
        self._stop = stop
        self._held = b""
        self._last = b""
        self._spent = 0
        self._said = time.monotonic()

    def run(self) -> int:
        """Until the child has ended."""
        poll = select.poll()
        poll.register(self._lines, select.POLLIN | select.POLLHUP)
        poll.register(self._stop, select.POLLIN)
        while True:
            ready = dict(poll.poll(LOOK_EVERY_S * 1000))
            if self._stop in ready:
                return self._stopped()
            if self._lines in ready and not self._relay():
                break
            self._heartbeat()
        _, status = os.waitpid(self._child, 0)
        return self._ended(os.waitstatus_to_exitcode(status))

    def _relay(self) -> bool:
        """Passes whole lines on; False once there are no more."""
        chunk = os.read(self._lines, 65_536)
        *whole, self._held = (self._held + chunk).split(b"\n")
        for line in whole:
            self._last = line
            sys.stdout.buffer.write(line + b"\n")
            self._said = time.monotonic()
        sys.stdout.buffer.flush()
        return bool(chunk) and len(self._held) <= MAX_LINE

    def _heartbeat(self) -> None:
        """Said only when the child has computed since: a hang is not hidden."""
        if time.monotonic() - self._said < HEARTBEAT_S:
            return
        spent = _processor_time(self._child)
        if spent > self._spent:
            say("heartbeat")
        self._spent = spent
        self._said = time.monotonic()

    def _stopped(self) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGTERM)
        give_up = time.monotonic() + STOP_WITHIN_S
        while os.waitpid(self._child, os.WNOHANG) == (0, 0):
            if time.monotonic() > give_up:
                os.kill(self._child, signal.SIGKILL)
                os.waitpid(self._child, 0)
                break
            time.sleep(0.01)
        say("stopped")
        return 0

    def _ended(self, code: int) -> int:
        if b'"kind":"done"' in self._last[:40] or b'"kind":"failed"' in self._last[:40]:
            return 0
        reading = b'"message":"reading"' in self._last
        if code < 0 and -code in _CRASHES and reading:
            name = signal.Signals(-code).name
            failed(
                "DATA_UNREADABLE",
                f"reading the file ended the reader ({name}): it is damaged, or expands to more than fits into memory",
            )
            return 0
        sys.stderr.write(f"the work died without a word (status {code})\n")
        return CRASHED if code >= 0 else 128 - code


def _processor_time(pid: int) -> int:
    """Ticks that a process has computed."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return 0
