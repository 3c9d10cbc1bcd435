"""What is expected of columns, and how far they may drift."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from automesh.core.errors import ValidationError
from services.data.domain.pipeline.columns import ColumnType, check_column_name

MAX_ALLOWED = 10_000
MAX_PATTERN = 1_000
DEFAULT_MAX_PSI = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far a column may be from an earlier version. Empty `data_id`: the dataset itself; version 0: the latest."""

    data_id: str = ""
    version: int = 0
    max_psi: float = DEFAULT_MAX_PSI

    @property
    def reference(self) -> str:
        """What the job calls the statistics of that version."""
        return f"{self.data_id}/{self.version}"

    def check(self, path: str) -> None:
        """Raises ValidationError that names the field below `path`."""
        if self.version < 0:
            _refuse(f"{path}.version", f"{self.version} is not a version; 0 means the latest that is READY")
        if not 0 < self.max_psi < math.inf:
            _refuse(f"{path}.max_psi", f"{self.max_psi} is not above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What is expected of one column. Whatever is set must hold, but for a `tolerance` share of the rows."""

    column: str
    type: ColumnType | None = None
    min: float | None = None
    max: float | None = None
    not_null: bool = False
    unique: bool = False
    allowed: Sequence[str] = ()
    pattern: str = ""
    tolerance: float = 0.0
    drift: Drift | None = None

    def check(self, path: str) -> None:
        """Raises ValidationError that names the field below `path`."""
        check_column_name(self.column, field=f"{path}.column")
        self._check_bounds(path)
        if not 0 <= self.tolerance <= 1:
            _refuse(f"{path}.tolerance", f"{self.tolerance} is not between 0 and 1")
        if len(self.allowed) > MAX_ALLOWED:
            _refuse(f"{path}.allowed", f"{len(self.allowed)} values are more than {MAX_ALLOWED}")
        if self.pattern:
            _check_pattern(self.pattern, f"{path}.pattern")
        if self.drift is not None:
            self.drift.check(f"{path}.drift")
        if not self.says_something:
            _refuse(path, f"expects nothing of {self.column!r}: set type, min, max, not_null, unique, allowed, ...")

    @property
    def says_something(self) -> bool:
        """Whether anything is set."""
        bounds = self.min is not None or self.max is not None
        values = bool(self.allowed or self.pattern)
        return bool(self.type) or bounds or values or self.not_null or self.unique or self.drift is not None

    def _check_bounds(self, path: str) -> None:
        for name, bound in (("min", self.min), ("max", self.max)):
            if bound is not None and math.isnan(bound):
                _refuse(f"{path}.{name}", "is not a number")
        if self.min is not None and self.max is not None and self.min > self.max:
            _refuse(f"{path}.max", f"{self.max} is below min {self.min}")


def _check_pattern(pattern: str, field: str) -> None:
    if len(pattern) > MAX_PATTERN:
        _refuse(field, f"has more than {MAX_PATTERN} characters")
    try:
        re.compile(pattern)
    except re.error as error:
        _refuse(field, f"is not a regular expression: {error}")


def _refuse(field: str, what: str) -> None:
    raise ValidationError(f"{field}: {what}", field=field)
