"""The steps of a pipeline. `check(path)` raises ValidationError that names the field below `path`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar, NoReturn

from automesh.core.errors import ValidationError
from services.data.domain.pipeline.columns import ColumnType, check_column_name
from services.data.domain.pipeline.expectations import Expectation
from services.data.domain.pipeline.expression import Expression, parse

MAX_NAMED = 4096
MAX_EXPECTATIONS = 1000
MAX_FRACTION = 0.9
MAX_WINDOW = 1_000_000


class FillMethod(StrEnum):
    """How nulls are replaced."""

    VALUE = "VALUE"
    FORWARD = "FORWARD"
    BACKWARD = "BACKWARD"
    MEAN = "MEAN"
    LINEAR = "LINEAR"


class ScaleMethod(StrEnum):
    """How values are scaled."""

    Z_SCORE = "Z_SCORE"
    MIN_MAX = "MIN_MAX"


class Aggregation(StrEnum):
    """How the values of one interval become one."""

    MEAN = "MEAN"
    SUM = "SUM"
    MIN = "MIN"
    MAX = "MAX"
    FIRST = "FIRST"
    LAST = "LAST"


class SplitMethod(StrEnum):
    """How rows are divided."""

    SERIES = "SERIES"
    TIME = "TIME"
    RANDOM = "RANDOM"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectStep:
    """Keeps these columns in this order; `rename` gives new names by old ones."""

    kind: ClassVar[str] = "select"
    columns: Sequence[str]
    rename: Mapping[str, str] = field(default_factory=dict)

    def check(self, path: str) -> None:
        _check_columns(self.columns, f"{path}.columns", needed=True)
        for old, new in self.rename.items():
            check_column_name(new, field=f"{path}.rename[{old!r}]")
            if old not in self.columns:
                _refuse(f"{path}.rename[{old!r}]", "is not one of the columns that are kept")
        names = [self.rename.get(name, name) for name in self.columns]
        if twice := _repeated(names):
            _refuse(f"{path}.rename", f"two columns would be called {twice!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CastStep:
    """Changes types; `lenient` makes null of what cannot be cast."""

    kind: ClassVar[str] = "cast"
    types: Mapping[str, ColumnType]
    lenient: bool = False

    def check(self, path: str) -> None:
        _check_columns(list(self.types), f"{path}.types", needed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class FillStep:
    """Replaces nulls and NaN. No `columns`: all numeric ones."""

    kind: ClassVar[str] = "fill"
    columns: Sequence[str] = ()
    method: FillMethod
    value: float = 0.0

    def check(self, path: str) -> None:
        _check_columns(self.columns, f"{path}.columns")
        if not math.isfinite(self.value):
            _refuse(f"{path}.value", f"{self.value} is not a number to fill with")


@dataclass(frozen=True, slots=True, kw_only=True)
class DropStep:
    """Leaves out columns; rows with nulls ("*": in any column); rows for which `where` is true."""

    kind: ClassVar[str] = "drop"
    columns: Sequence[str] = ()
    null_in: Sequence[str] = ()
    where: str = ""

    def check(self, path: str) -> None:
        _check_columns(self.columns, f"{path}.columns")
        if list(self.null_in) != ["*"]:
            _check_columns(self.null_in, f"{path}.null_in")
        if self.where:
            parse(self.where, field=f"{path}.where")
        if not (self.columns or self.null_in or self.where):
            _refuse(path, "leaves out nothing: set columns, null_in or where")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipStep:
    """Bounds values. No `columns`: all numeric ones."""

    kind: ClassVar[str] = "clip"
    columns: Sequence[str] = ()
    lower: float | None = None
    upper: float | None = None

    def check(self, path: str) -> None:
        _check_columns(self.columns, f"{path}.columns")
        if self.lower is None and self.upper is None:
            _refuse(path, "bounds nothing: set lower, upper or both")
        for name, bound in (("lower", self.lower), ("upper", self.upper)):
            if bound is not None and not math.isfinite(bound):
                _refuse(f"{path}.{name}", f"{bound} is not a bound")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            _refuse(f"{path}.upper", f"{self.upper} is below lower {self.lower}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleStep:
    """Scales by statistics of the training part. No `columns`: all floating-point ones."""

    kind: ClassVar[str] = "scale"
    columns: Sequence[str] = ()
    method: ScaleMethod

    def check(self, path: str) -> None:
        _check_columns(self.columns, f"{path}.columns")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeriveStep:
    """Computes a column from others of the same row, and of rows before it in its series."""

    kind: ClassVar[str] = "derive"
    column: str
    expression: str

    def check(self, path: str) -> None:
        check_column_name(self.column, field=f"{path}.column")
        self.parsed(path)

    def parsed(self, path: str = "derive") -> Expression:
        """The expression as a tree."""
        return parse(self.expression, field=f"{path}.expression")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampleStep:
    """One row an interval and series: `every` for moments, `every_steps` for integers."""

    kind: ClassVar[str] = "resample"
    every: timedelta | None = None
    every_steps: int = 0
    aggregation: Aggregation = Aggregation.MEAN

    def check(self, path: str) -> None:
        if (self.every is None) == (self.every_steps == 0):
            _refuse(path, "needs either every (for a time column of moments) or every_steps (for one of integers)")
        if self.every is not None and self.every <= timedelta(0):
            _refuse(f"{path}.every", "is not above 0")
        if self.every_steps < 0:
            _refuse(f"{path}.every_steps", f"{self.every_steps} is not above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowStep:
    """Windows of `length` rows, `stride` apart (0: `length`), followed by `horizon` rows."""

    kind: ClassVar[str] = "window"
    length: int
    stride: int = 0
    horizon: int = 0

    @property
    def apart(self) -> int:
        """Rows from one window to the next."""
        return self.stride or self.length

    def check(self, path: str) -> None:
        for name, least in (("length", 1), ("stride", 0), ("horizon", 0)):
            if not least <= getattr(self, name) <= MAX_WINDOW:
                _refuse(f"{path}.{name}", f"{getattr(self, name)} is not between {least} and {MAX_WINDOW}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitStep:
    """Divides rows. No `method`: by series where there is a series column, else by time."""

    kind: ClassVar[str] = "split"
    method: SplitMethod | None = None
    test_fraction: float = 0.0
    validation_fraction: float = 0.0
    seed: int = 0

    def check(self, path: str) -> None:
        for name in ("test_fraction", "validation_fraction"):
            if not 0 <= getattr(self, name) <= MAX_FRACTION:
                _refuse(f"{path}.{name}", f"{getattr(self, name)} is not between 0 and {MAX_FRACTION}")
        if self.test_fraction + self.validation_fraction >= 1:
            _refuse(f"{path}.validation_fraction", "with test_fraction it leaves nothing for training")
        if self.test_fraction == self.validation_fraction == 0:
            _refuse(path, "divides nothing: set test_fraction, validation_fraction or both")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeduplicateStep:
    """Leaves out rows that are as an earlier one in these columns. None: in all."""

    kind: ClassVar[str] = "deduplicate"
    columns: Sequence[str] = ()

    def check(self, path: str) -> None:
        _check_columns(self.columns, f"{path}.columns")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateStep:
    """Holds the rows against expectations."""

    kind: ClassVar[str] = "validate"
    expectations: Sequence[Expectation]

    def check(self, path: str) -> None:
        if not 1 <= len(self.expectations) <= MAX_EXPECTATIONS:
            _refuse(f"{path}.expectations", f"{len(self.expectations)} are not between 1 and {MAX_EXPECTATIONS}")
        for number, expectation in enumerate(self.expectations):
            expectation.check(f"{path}.expectations[{number}]")


Step = (
    SelectStep | CastStep | FillStep | DropStep | ClipStep | ScaleStep | DeriveStep | ResampleStep | WindowStep
    | SplitStep | DeduplicateStep | ValidateStep
)  # fmt: skip


def _check_columns(names: Sequence[str], field: str, *, needed: bool = False) -> None:
    if needed and not names:
        _refuse(field, "names no column")
    if len(names) > MAX_NAMED:
        _refuse(field, f"{len(names)} columns are more than {MAX_NAMED}")
    for name in names:
        check_column_name(name, field=field)
    if twice := _repeated(names):
        _refuse(field, f"names {twice!r} twice")


def _repeated(names: Iterable[str]) -> str:
    return next((name for name, count in Counter(names).items() if count > 1), "")


def _refuse(field: str, what: str) -> NoReturn:
    raise ValidationError(f"{field}: {what}", field=field)
