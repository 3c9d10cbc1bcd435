"""Expectations are checked with pandera, one column at a time; the report names the rows that fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from services.data.domain.pipeline.columns import INTEGERS, NUMBERS, ColumnType, Schema
from services.data.domain.pipeline.expectations import Expectation
from services.data.processor.drift import stability_index
from services.data.processor.engine import ROW
from services.data.processor.faults import DataUnsuitable

EXAMPLES = 100
MAX_TEXT = 80
MAX_REPORT_TEXT = 200_000
"""Characters of examples in a whole report, so that it fits into one message."""
MAX_REJECTED = 10_000


class Checked(Protocol):
    """The rows that are checked."""

    schema: Schema

    def rows(self, columns: Sequence[str], *, train_only: bool = False) -> pl.DataFrame:
        """Columns (with ROW), of all rows or of the training part alone."""
        ...


References = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Statistics by "data_id/version" and column."""


@dataclass(slots=True)
class Report:
    """Check after check, and the rows that failed one that did not pass."""

    checks: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    room: int = MAX_REPORT_TEXT

    @property
    def passed(self) -> bool:
        """Whether all checks hold."""
        return all(check["passed"] for check in self.checks)

    def json(self) -> dict[str, Any]:
        """protojson of ValidationReport."""
        return {"passed": self.passed, "checks": self.checks}

    def add(self, expectation: Expectation, what: str, failing: pl.DataFrame, rows: int) -> None:
        """One check; `failing` has a row for each failing row: ROW and the value as text."""
        count = failing.height
        passed = count <= expectation.tolerance * rows
        first = failing.sort(ROW).head(EXAMPLES)
        values = [(text or "null")[:MAX_TEXT] for text in first["value"].to_list()]
        while values and self.room < sum(map(len, values)):
            values.pop()
        self.room -= sum(map(len, values))
        entry = {"column": expectation.column, "check": what, "passed": passed, "failed_rows": count}
        entry |= {"row_examples": first[ROW].to_list()[: len(values)], "value_examples": values}
        self.checks.append(entry)
        if not passed:
            self.rejected += failing.sort(ROW)[ROW].head(MAX_REJECTED).to_list()

    def add_score(self, column: str, what: str, *, passed: bool, score: float = 0.0) -> None:
        """One check that no single row fails."""
        self.checks.append({"column": column, "check": what, "passed": passed, "failed_rows": 0, "score": score})


def validate(
    report: Report, expectations: Sequence[Expectation], checked: Checked, references: References, path: str
) -> None:
    """Adds every check of a step to the report. Raises DataUnsuitable for expectations that no column can meet."""
    for number, expectation in enumerate(expectations):
        where = f"{path}.expectations[{number}]"
        kind = checked.schema.get(expectation.column)
        if kind is None:
            raise DataUnsuitable(f"{where}.column: there is no column {expectation.column!r}")
        if expectation.type is not None:
            right = kind is expectation.type
            report.add_score(expectation.column, f"type is {expectation.type} (it is {kind})", passed=right)
        if checks := _checks(expectation, kind, where):
            _run(report, expectation, checks, checked.rows([expectation.column]))
        if expectation.drift is not None:
            _drift(report, expectation, checked, references, where)


@dataclass(frozen=True, slots=True)
class _Check:
    """A check for people, and what pandera is asked for."""

    what: str
    not_null: bool = False
    unique: bool = False
    ask: Callable[[Any], Any] | None = None


def _checks(expectation: Expectation, kind: ColumnType, where: str) -> list[_Check]:
    found = []
    if expectation.not_null:
        found.append(_Check("not null", not_null=True))
    if expectation.unique:
        found.append(_Check("unique", unique=True))
    if expectation.min is not None or expectation.max is not None:
        found.append(_bounds(expectation, kind, where))
    if expectation.allowed:
        allowed = _allowed(expectation.allowed, kind, where)
        found.append(
            _Check(f"one of {', '.join(expectation.allowed)[:MAX_TEXT]}", ask=lambda pa: pa.Check.isin(allowed))
        )
    if expectation.pattern:
        found.append(_pattern(expectation.pattern, kind, where))
    return found


def _bounds(expectation: Expectation, kind: ColumnType, where: str) -> _Check:
    if kind not in NUMBERS:
        raise DataUnsuitable(f"{where}.min: column {expectation.column!r} is {kind}: bounds are for numbers")
    low = -math.inf if expectation.min is None else expectation.min
    high = math.inf if expectation.max is None else expectation.max
    what = f"{low:g} <= value <= {high:g}"
    if expectation.max is None:
        what = f"value >= {low:g}"
    if expectation.min is None:
        what = f"value <= {high:g}"
    return _Check(what, ask=lambda pa: pa.Check.in_range(low, high))


def _allowed(texts: Sequence[str], kind: ColumnType, where: str) -> list[Any]:
    try:
        if kind in NUMBERS:
            numbers = [float(text) for text in texts]
            return [int(number) for number in numbers if number.is_integer()] if kind in INTEGERS else numbers
        if kind is ColumnType.BOOLEAN:
            return [{"true": True, "false": False}[text.lower()] for text in texts]
    except (ValueError, KeyError):
        raise DataUnsuitable(f"{where}.allowed: not all of them are {kind}, as the column is") from None
    return list(texts)


def _pattern(pattern: str, kind: ColumnType, where: str) -> _Check:
    if kind is not ColumnType.STRING:
        raise DataUnsuitable(f"{where}.pattern: the column is {kind}: patterns are for texts")
    whole = f"^(?:{pattern})$"
    try:
        pl.Series([""]).str.contains(whole)
    except pl.exceptions.ComputeError as error:
        why = str(error).splitlines()[-1]
        raise DataUnsuitable(f"{where}.pattern: look-around and back-references are not possible: {why}") from error
    return _Check(f"matches {pattern[:MAX_TEXT]}", ask=lambda pa: pa.Check.str_matches(whole))


def _run(report: Report, expectation: Expectation, checks: Sequence[_Check], frame: pl.DataFrame) -> None:
    values = _plain(frame[expectation.column]).alias("value").to_frame()
    positions = frame[ROW]
    for check in checks:
        indexes = _failing(check, values)
        texts = values["value"].gather(indexes).cast(pl.String)
        failing = pl.DataFrame({ROW: positions.gather(indexes), "value": texts})
        report.add(expectation, check.what, failing, frame.height)


def _plain(values: pl.Series) -> pl.Series:
    """NaN counts as null; moments and days are held against texts."""
    if values.dtype.is_float():
        return values.fill_nan(None)
    if isinstance(values.dtype, (pl.Datetime, pl.Date)):
        return values.dt.to_string("iso" if isinstance(values.dtype, pl.Datetime) else "%Y-%m-%d")
    return values


def _failing(check: _Check, values: pl.DataFrame) -> pl.Series:
    """Which rows pandera finds failing: places in the frame, each once."""
    import pandera.polars as pa  # noqa: PLC0415  # a second to import: only where something is expected

    asked = [check.ask(pa)] if check.ask is not None else []
    column = pa.Column(checks=asked, nullable=not check.not_null, unique=check.unique)
    try:
        # A frame that is collected: of a lazy one pandera would look at the types alone.
        pa.DataFrameSchema({"value": column}).validate(values, lazy=True)
    except pa.errors.SchemaErrors as found:
        cases = found.failure_cases
        if cases["index"].null_count():
            raise DataUnsuitable(f"{check.what}: it cannot be checked: {cases['check'][0]}") from found
        failing: pl.Series = cases["index"].unique().sort()
        return failing
    return pl.Series([], dtype=pl.Int32)


def _drift(report: Report, expectation: Expectation, checked: Checked, references: References, where: str) -> None:
    drift = expectation.drift
    assert drift is not None  # noqa: S101  # asked by the caller
    what = f"PSI <= {drift.max_psi:g} against {drift.reference}"
    statistics = references.get(drift.reference)
    if statistics is None:
        if drift.data_id:
            raise DataUnsuitable(f"{where}.drift: there are no statistics of {drift.reference}")
        report.add_score(expectation.column, "drift: there is no earlier version yet", passed=True)
        return
    column = statistics.get(expectation.column)
    if column is None:
        raise DataUnsuitable(f"{where}.drift: {drift.reference} has no column {expectation.column!r}")
    try:
        score = stability_index(checked.rows([expectation.column], train_only=True)[expectation.column], column)
    except ValueError as error:
        raise DataUnsuitable(f"{where}.drift: {drift.reference} cannot be compared with: {error}") from None
    report.add_score(expectation.column, what, passed=score <= drift.max_psi, score=score)
