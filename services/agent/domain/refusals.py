"""Which error says that a module cannot be tested, and why."""

from __future__ import annotations

from collections.abc import Mapping

from services.agent.domain.generation import (
    ModuleCrashed,
    ModuleImportFailed,
    ModuleImportTimedOut,
    ModuleOutOfMemory,
    ModuleTooManyProcesses,
    ModuleUnfit,
    ModuleUsesNetwork,
)
from services.agent.domain.sandbox import MIB, Ending, Limits, Outcome

IMPORTED = "the module is imported"  # what the survey says when the import is behind it
_ENDINGS: Mapping[Ending, tuple[type[ModuleUnfit], str]] = {
    Ending.TIMED_OUT: (ModuleImportTimedOut, "did not come to the end of its import within {wall:.0f} s"),
    Ending.OUT_OF_CPU: (ModuleImportTimedOut, "did not come to the end of its import within {cpu:.0f} s of CPU time"),
    Ending.OUT_OF_MEMORY: (ModuleOutOfMemory, "takes more than {memory} MiB of memory"),
    Ending.TOO_MANY_PROCESSES: (ModuleTooManyProcesses, "starts more than {processes} processes"),
    Ending.DISK_FULL: (ModuleCrashed, "writes more than {disk} MiB to the disk"),
    Ending.TOO_MUCH_OUTPUT: (ModuleCrashed, "writes output without end"),
}
_ERRORS: Mapping[str, tuple[type[ModuleUnfit], str]] = {
    "import": (ModuleImportFailed, "cannot be imported"),
    "network": (ModuleUsesNetwork, "wants the network while it is imported, and there is none in the sandbox"),
    "memory": (ModuleOutOfMemory, "takes too much memory while it is imported"),
    "processes": (ModuleTooManyProcesses, "starts too many processes while it is imported"),
    "no_source": (ModuleImportFailed, "has no Python source"),
}


def of_ending(module: str, outcome: Outcome, limits: Limits) -> ModuleUnfit:
    """For a survey that did not end well."""
    if outcome.ending not in _ENDINGS:
        return ModuleCrashed(f"{module} crashed while it was looked at:\n{outcome.last_lines()}", module=module)
    late = outcome.ending in (Ending.TIMED_OUT, Ending.OUT_OF_CPU)
    if late and IMPORTED.encode() in outcome.stdout:
        return ModuleCrashed(f"{module} could not be looked at within {limits.wall_s:.0f} s", module=module)
    kind, sentence = _ENDINGS[outcome.ending]
    said = sentence.format(
        wall=limits.wall_s,
        cpu=limits.cpu_s,
        memory=limits.memory_bytes // MIB,
        processes=limits.processes,
        disk=limits.disk_bytes // MIB,
    )
    return kind(f"{module} {said}", module=module)


def of_error(module: str, error: str, detail: str) -> ModuleUnfit:
    """For what the survey found; `detail` are the last lines of its traceback."""
    kind, sentence = _ERRORS.get(error, (ModuleCrashed, "cannot be looked at"))
    return kind(f"{module} {sentence}:\n{detail}", module=module)
