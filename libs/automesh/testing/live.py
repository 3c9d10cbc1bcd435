"""The whole stack as a test meets it: real processes under the real supervisor, and what can be done to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import psutil

from automesh.local.options import StackOptions
from automesh.local.program import State
from automesh.local.record import ProcessRecord, StackRecord
from automesh.local.settings import environment
from automesh.local.state import LocalState
from automesh.local.tether import tethered

T = TypeVar("T")

LIMIT_S = 90.0
"""The longest a test waits for anything; a bound for busy machines, not a figure."""
START_LIMIT_S = 180.0
_STOP_LIMIT_S = 60.0
_LOOK_EVERY_S = 0.05


def until(look: Callable[[], T | None], what: str, limit_s: float = LIMIT_S) -> T:
    """The first true answer of `look`. Raises AssertionError, naming `what`, when there is none in time."""
    deadline = time.monotonic() + limit_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit_s:g} s in vain: {what}")
        time.sleep(_LOOK_EVERY_S)
    return found


class LiveStack:
    """A stack that runs now."""

    def __init__(self, folder: Path) -> None:
        self.state = LocalState(folder)

    @property
    def record(self) -> StackRecord:
        """What stack.json says at this moment."""
        record = StackRecord.read(self.state.stack_file)
        if record is None:
            raise AssertionError(f"no stack runs in {self.state.folder}")
        return record

    @property
    def url(self) -> str:
        """Where the gateway listens; the same after each restart."""
        return self.record.gateway_url

    def process(self, name: str) -> ProcessRecord:
        """A process by its name in the stack, for example "agent-1"."""
        return self.record.processes[name]

    def running(self, name: str) -> psutil.Process:
        """The same, to be looked into."""
        return psutil.Process(self.process(name).pid)

    def named(self, service: str) -> list[str]:
        """All processes of a service: "agent-1" and "agent-2" of "agent"."""
        return [name for name in self.record.processes if name == service or name.startswith(f"{service}-")]

    def send(self, name: str, number: signal.Signals) -> int:
        """Sends a signal to a process; returns its id."""
        pid = self.process(name).pid
        os.kill(pid, number)
        return pid

    def kill(self, name: str) -> int:
        """kill -9; returns the id that is gone."""
        return self.send(name, signal.SIGKILL)

    def until_replaced(self, name: str, pid: int) -> None:
        """Returns once the supervisor has started the process anew and found it well."""
        until(lambda: self._is_up_anew(name, pid), f"{name} (process {pid}) to be started again")

    def log_of(self, name: str) -> str:
        """What a process has logged."""
        return self.state.log_of(name).read_text(encoding="utf-8", errors="replace")

    def below(self, folder: Path) -> list[psutil.Process]:
        """Living processes whose command line names something below `folder`."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(folder) in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def command(self, *words: str, env: Mapping[str, str] = MappingProxyType({})) -> str:
        """What `automesh WORDS...` prints, run as a person on this machine would."""
        done = subprocess.run(
            [sys.executable, "-m", "automesh.cli", "--state-dir", str(self.state.folder), *words],
            env={**_clean_environment(), **env},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"automesh {' '.join(words)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def environment(self, **more: str) -> dict[str, str]:
        """For a program of somebody's own that is to find this stack."""
        return {**_clean_environment(), "AUTOMESH_STATE_DIR": str(self.state.folder), **more}

    def _is_up_anew(self, name: str, pid: int) -> bool:
        process = self.process(name)
        return process.state == State.UP and process.pid not in (0, pid)


@contextmanager
def live_stack(
    folder: Path, *, agents: int = 1, slots: int = 2, env: Mapping[str, str] = MappingProxyType({})
) -> Iterator[LiveStack]:
    """Starts a stack on free ports with the embedded registry, and stops it; it ends with this process in any case.

    `env` are further AUTOMESH_* settings for its processes. To be called from the main thread.
    """
    options = StackOptions(state_dir=folder, port=0, control_port=0, registry="embedded", agents=agents, slots=slots)
    stack = LiveStack(folder)
    stack.state.prepare()
    with stack.state.log_of("supervisor").open("wb") as output:
        supervisor = subprocess.Popen(
            tethered([sys.executable, "-m", "automesh.local", options.to_json()], signal.SIGTERM),
            env={**_clean_environment(), **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: _is_ready(stack, supervisor), "the stack to be ready", START_LIMIT_S)
        yield stack
    finally:
        _stop(supervisor)


def _is_ready(stack: LiveStack, supervisor: subprocess.Popen[bytes]) -> bool:
    if supervisor.poll() is not None:
        raise AssertionError(f"the stack cannot start: {stack.log_of('supervisor')[-4000:]}")
    record = StackRecord.read(stack.state.stack_file)
    return record is not None and record.pid == supervisor.pid and record.ready


def _stop(supervisor: subprocess.Popen[bytes]) -> None:
    supervisor.terminate()
    try:
        supervisor.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


def _clean_environment() -> dict[str, str]:
    """Without what this shell says about a stack of its own."""
    return {name: value for name, value in environment().items() if not name.startswith("AUTOMESH_")}
