"""What a run in the sandbox may use, how it can end, and the errors of the sandbox itself."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

from automesh.core.errors import Kind, TaskError, ValidationError

MIB = 1024 * 1024
SIGNAL_BASE = 128  # a shell's and bubblewrap's way to tell a signal in an exit code
_MEMORY_ERROR = re.compile(rb"^(MemoryError|.*: MemoryError\b|.*[Cc]annot allocate memory)", re.MULTILINE)


class SandboxUnavailable(TaskError):
    """This machine cannot isolate what a task runs; retrying here will not help."""

    kind = Kind.PRECONDITION
    reason = "SANDBOX_UNAVAILABLE"


class ScratchFileRefused(TaskError):
    """A run left something else than the plain, small file that was asked of it."""

    reason = "SCRATCH_FILE_REFUSED"


class Ending(StrEnum):
    """Why a run ended."""

    OK = "ok"
    FAILED = "failed"  # by itself, with another exit code than 0 or by a signal of its own
    TIMED_OUT = "timed_out"
    OUT_OF_CPU = "out_of_cpu"
    OUT_OF_MEMORY = "out_of_memory"
    TOO_MANY_PROCESSES = "too_many_processes"
    TOO_MUCH_OUTPUT = "too_much_output"
    DISK_FULL = "disk_full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one run, all of its processes together unless it says otherwise. Every one is above 0."""

    wall_s: float = 60.0
    cpu_s: float = 60.0
    memory_bytes: int = 1024 * MIB
    processes: int = 64  # threads count as well
    open_files: int = 256  # per process
    file_bytes: int = 64 * MIB  # the largest file
    disk_bytes: int = 256 * MIB  # the scratch folder
    disk_entries: int = 20_000  # files and folders in the scratch folder
    tmp_bytes: int = 64 * MIB  # /tmp, and /dev/shm again as much: both live in memory
    output_bytes: int = 16 * MIB  # stdout and stderr together
    tail_bytes: int = 64 * 1024  # kept of each of the two

    def __post_init__(self) -> None:
        for each in fields(self):
            if getattr(self, each.name) <= 0:
                raise ValidationError(f"the sandbox limit {each.name} must be above 0", field=each.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run is using at one moment."""

    cpu_s: float = 0.0
    memory_bytes: int = 0
    processes: int = 0
    disk_bytes: int = 0
    disk_entries: int = 0
    output_bytes: int = 0
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. `cpu_s` and `peak_bytes` are samples: never too high, a little low for short runs."""

    ending: Ending
    exit_code: int | None  # None when it died by a signal
    signal: int | None
    stdout: bytes  # the last `tail_bytes`
    stderr: bytes
    stdout_cut: bool  # something before the tail was thrown away
    stderr_cut: bool
    wall_s: float
    cpu_s: float
    peak_bytes: int

    @property
    def ok(self) -> bool:
        return self.ending is Ending.OK

    def last_lines(self, count: int = 5) -> str:
        """The end of what it complained about, for an error message."""
        lines = self.stderr.decode("utf-8", "replace").strip().splitlines()
        return "\n".join(lines[-count:])


def exceeded(usage: Usage, limits: Limits) -> Ending | None:
    """The first limit that is passed, if one is."""
    rules: Sequence[tuple[bool, Ending]] = (
        (usage.processes > limits.processes, Ending.TOO_MANY_PROCESSES),
        (usage.memory_bytes > limits.memory_bytes, Ending.OUT_OF_MEMORY),
        (usage.disk_bytes > limits.disk_bytes, Ending.DISK_FULL),
        (usage.disk_entries > limits.disk_entries, Ending.DISK_FULL),
        (usage.output_bytes > limits.output_bytes, Ending.TOO_MUCH_OUTPUT),
        (usage.cpu_s > limits.cpu_s, Ending.OUT_OF_CPU),
        (usage.wall_s > limits.wall_s, Ending.TIMED_OUT),
    )
    return next((ending for passed, ending in rules if passed), None)


def ending_of(exit_status: int, stderr: bytes) -> tuple[Ending, int | None, int | None]:
    """Ending, exit code and signal of a run that nobody stopped.

    The kernel enforces some limits inside the run, so they show only in how the program took it.
    """
    if exit_status == 0:
        return Ending.OK, 0, None
    number = exit_status - SIGNAL_BASE if exit_status > SIGNAL_BASE else -exit_status
    killed_by = number if number in {each.value for each in signal.Signals} else None
    if killed_by == signal.SIGXCPU:
        ending = Ending.OUT_OF_CPU
    elif killed_by == signal.SIGXFSZ:
        ending = Ending.DISK_FULL
    elif _MEMORY_ERROR.search(stderr):
        ending = Ending.OUT_OF_MEMORY
    else:
        ending = Ending.FAILED
    return ending, None if killed_by else exit_status, killed_by
