"""What is asked of test generation, what comes back, and how a module can be unfit for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

from automesh.core.errors import Kind, TaskError, ValidationError

DEFAULT_BUDGET_S = 20.0
MIN_BUDGET_S, MAX_BUDGET_S = 5.0, 600.0
MAX_SEED = 2**31
MAX_NAME = 200
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_FIELDS = frozenset({"module", "path", "budget_s", "seed"})


class ModuleNotFound(TaskError):
    """No such module where this agent may look."""

    kind = Kind.INVALID
    reason = "MODULE_NOT_FOUND"


class ModuleUnfit(TaskError):
    """The module cannot be tested. Trying again changes nothing; mending the module does."""

    reason = "MODULE_UNFIT"


class ModuleImportFailed(ModuleUnfit):
    """Its import raises an error."""

    reason = "MODULE_IMPORT_FAILED"


class ModuleImportTimedOut(ModuleUnfit):
    """Its import does not come to an end."""

    reason = "MODULE_IMPORT_TIMED_OUT"


class ModuleOutOfMemory(ModuleUnfit):
    """It takes more memory than the sandbox has."""

    reason = "MODULE_OUT_OF_MEMORY"


class ModuleTooManyProcesses(ModuleUnfit):
    """It starts processes or threads without end."""

    reason = "MODULE_TOO_MANY_PROCESSES"


class ModuleUsesNetwork(ModuleUnfit):
    """It wants the network, and there is none in the sandbox."""

    reason = "MODULE_USES_NETWORK"


class ModuleCrashed(ModuleUnfit):
    """The process died, or passed another limit."""

    reason = "MODULE_CRASHED"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestGenerationRequest:
    """`path` is the source root that holds the module; empty for one that is installed beside the agent."""

    __test__: ClassVar[bool] = False  # the name is no test, whatever pytest believes

    module: str
    path: str = ""
    budget_s: float = DEFAULT_BUDGET_S
    seed: int = 1

    def __post_init__(self) -> None:
        if len(self.module) > MAX_NAME or not _MODULE.fullmatch(self.module):
            raise ValidationError(
                f"{self.module[:MAX_NAME]!r} is not a dotted module name such as packaging.version",
                field="task.input.module",
            )
        if not MIN_BUDGET_S <= self.budget_s <= MAX_BUDGET_S:
            raise ValidationError(
                f"budget_s {self.budget_s} is not between {MIN_BUDGET_S:g} and {MAX_BUDGET_S:g}",
                field="task.input.budget_s",
            )
        if not 0 <= self.seed < MAX_SEED:
            raise ValidationError(f"seed {self.seed} is not between 0 and {MAX_SEED - 1}", field="task.input.seed")

    @classmethod
    def from_input(cls, given: Mapping[str, Any]) -> Self:
        """From a task's input, whose numbers are all floats. Raises ValidationError naming the field."""
        if unknown := sorted(set(given) - _FIELDS):
            raise ValidationError(
                f"test_generation knows no input {unknown[0]!r}, only {', '.join(sorted(_FIELDS))}",
                field=f"task.input.{unknown[0]}",
            )
        seed = _number(given, "seed", 1)
        if seed != int(seed):
            raise ValidationError(f"seed {seed} is not a whole number", field="task.input.seed")
        return cls(
            module=_text(given, "module"),
            path=_text(given, "path"),
            budget_s=_number(given, "budget_s", DEFAULT_BUDGET_S),
            seed=int(seed),
        )


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name) or ""
    if not isinstance(value, str):
        raise ValidationError(f"{name} must be a text", field=f"task.input.{name}")
    return value


def _number(given: Mapping[str, Any], name: str, default: float) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_SEED:
        raise ValidationError(f"{name} must be a number", field=f"task.input.{name}")
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Tests that were generated and not kept."""

    failed: int = 0  # or could not run to their end
    flaky: int = 0  # passed in some runs only
    duplicate: int = 0  # the same as another, or adding neither an assertion nor coverage

    def __str__(self) -> str:
        return f"{self.failed} that failed, {self.flaky} that flickered, {self.duplicate} that added nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageFigures:
    """What the kept tests reach of the module."""

    covered_lines: int = 0
    total_lines: int = 0
    covered_branches: int = 0
    total_branches: int = 0

    @property
    def line_percent(self) -> float:
        return _percent(self.covered_lines, self.total_lines)

    @property
    def branch_percent(self) -> float:
        """A module without branches has them all covered; one that was not measured has none."""
        if self.total_lines and not self.total_branches:
            return 100.0
        return _percent(self.covered_branches, self.total_branches)


def _percent(part: int, whole: int) -> float:
    return round(100.0 * part / whole, 1) if whole else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """What test generation made. `files` are names in the tests folder of the workspace."""

    __test__: ClassVar[bool] = False

    module: str
    passed: int
    dropped: Dropped
    coverage: CoverageFigures
    files: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = field(default=())

    def to_result(self) -> dict[str, Any]:
        """As a task's result: plain JSON data, percentages from 0 to 100."""
        return {
            "module": self.module,
            "passed": self.passed,
            "dropped": asdict(self.dropped),
            "line_coverage": self.coverage.line_percent,
            "branch_coverage": self.coverage.branch_percent,
            **asdict(self.coverage),
            "files": list(self.files),
            "seconds": round(self.seconds, 1),
            "notes": list(self.notes),
        }
