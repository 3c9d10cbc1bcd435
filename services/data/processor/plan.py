"""Carries a pipeline out, step by step, on whichever engine. What differs between engines stands in none of this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

import polars as pl

from services.data.domain.pipeline import steps
from services.data.domain.pipeline.columns import FLOATS, INTEGERS, MOMENTS, NUMBERS, ColumnType, Schema
from services.data.domain.pipeline.expression import parse
from services.data.domain.pipeline.pipeline import Pipeline
from services.data.domain.pipeline.types import named, typed
from services.data.processor import splits
from services.data.processor.engine import Engine, Layout
from services.data.processor.faults import DataEmpty, DataTooLarge, DataUnsuitable
from services.data.processor.ingest.guarded import computing
from services.data.processor.summary import Summary
from services.data.processor.validation import References, Report, validate

F = TypeVar("F")
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)


class Rejected(Exception):
    """Expectations failed: the rows are put aside."""


@dataclass(slots=True)
class Plan(Generic[F]):
    """One run. `facts` are what steps took from the training part; `report` what came of the expectations."""

    engine: Engine[F]
    layout: Layout
    pipeline: Pipeline
    references: References
    max_columns: int
    facts: list[dict[str, Any]] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    frame: F | None = None

    def run(self, frame: F, tell: Callable[[int, str], None]) -> F:
        """The rows after all steps. Raises Rejected (then `frame` has the rows as they were), and DataError."""
        for number, (path, step) in enumerate(self.pipeline.numbered()):
            tell(number, f"step {number + 1} of {len(self.pipeline.steps)}: {step.kind}")
            self.frame = frame
            with computing(path):
                frame = _STEPS[type(step)](self, frame, step, path)
            if (count := len(self.engine.schema(frame))) > self.max_columns:
                raise DataTooLarge(f"{path}: {count} columns are more than {self.max_columns}")
        return frame

    def select(self, frame: F, step: steps.SelectStep, path: str) -> F:
        schema = self._known(frame, step.columns, f"{path}.columns")
        keys = [name for name in self.layout.keys if name in schema and name not in step.columns]
        return self.engine.select(frame, [*keys, *step.columns], step.rename)

    def cast(self, frame: F, step: steps.CastStep, path: str) -> F:
        schema = self._known(frame, list(step.types), f"{path}.types")
        types = {name: kind for name, kind in step.types.items() if schema[name] is not kind}
        if not types:
            return frame
        for name, kind in types.items():
            if kind is ColumnType.BOOLEAN and schema[name] in MOMENTS:
                raise DataUnsuitable(f"{path}.types: column {name!r} is {schema[name]}: it cannot become {kind}")
        if not step.lenient and (lost := self.engine.uncastable(frame, types)):
            first = lost[0]
            raise DataUnsuitable(
                f"{path}.types: {first.count} values of column {first.column!r} are no {types[first.column]}, "
                f"the first in row {first.row}: {first.value!r}; set lenient to make them null"
            )
        return self.engine.cast(frame, types)

    def fill(self, frame: F, step: steps.FillStep, path: str) -> F:
        numeric = step.method not in {steps.FillMethod.FORWARD, steps.FillMethod.BACKWARD}
        columns = self._columns(frame, step.columns, f"{path}.columns", NUMBERS, only=numeric)
        if not columns:
            return frame
        if step.method is steps.FillMethod.VALUE:
            return self.engine.fill(frame, self._values(frame, columns, step.value, path))
        if step.method is not steps.FillMethod.MEAN:
            return self.engine.fill_from_neighbours(frame, columns, step.method)
        means = {name: self._mean(name, found, path) for name, found in self.engine.summaries(frame, columns).items()}
        schema = self.engine.schema(frame)
        values = {name: round(mean) if schema[name] in INTEGERS else mean for name, mean in means.items()}
        self._note(path, {"values": values})
        return self.engine.fill(frame, values)

    def drop(self, frame: F, step: steps.DropStep, path: str) -> F:
        schema = self._known(frame, step.columns, f"{path}.columns")
        if list(step.null_in) == ["*"]:
            frame = self.engine.drop_nulls(frame, [name for name in schema if name not in step.columns])
        elif step.null_in:
            self._known(frame, step.null_in, f"{path}.null_in")
            frame = self.engine.drop_nulls(frame, step.null_in)
        if step.where:
            where = f"{path}.where"
            condition = typed(parse(step.where, field=where), schema, field=where)
            if condition.type is not ColumnType.BOOLEAN:
                raise DataUnsuitable(f"{where}: comes out as {condition.type}: it must be true or false")
            frame = self.engine.drop_where(frame, condition)
        if not step.columns:
            return frame
        kept = [name for name in schema if name not in step.columns]
        if not kept:
            raise DataEmpty(f"{path}.columns: leaves no column")
        return self.engine.select(frame, kept, {})

    def clip(self, frame: F, step: steps.ClipStep, path: str) -> F:
        columns = self._columns(frame, step.columns, f"{path}.columns", NUMBERS)
        for name, bound in (("lower", step.lower), ("upper", step.upper)):
            if bound is not None:
                self._values(frame, columns, bound, path, field=name)
        return self.engine.clip(frame, columns, step.lower, step.upper) if columns else frame

    def scale(self, frame: F, step: steps.ScaleStep, path: str) -> F:
        kinds = NUMBERS if step.columns else FLOATS
        columns = self._columns(frame, step.columns, f"{path}.columns", kinds)
        if not columns:
            return frame
        found = self.engine.summaries(frame, columns)
        scaling, noted = {}, {}
        for name, summary in found.items():
            if not summary.count:
                raise DataUnsuitable(f"{path}: column {name!r} has no values in the training part to scale by")
            if step.method is steps.ScaleMethod.Z_SCORE:
                scaling[name] = (summary.mean, summary.std or 1.0)
                noted[name] = {"mean": summary.mean, "std": summary.std}
            else:
                scaling[name] = (summary.least, (summary.greatest - summary.least) or 1.0)
                noted[name] = {"min": summary.least, "max": summary.greatest}
        self._note(path, {"method": str(step.method), "columns": noted})
        return self.engine.scale(frame, scaling)

    def derive(self, frame: F, step: steps.DeriveStep, path: str) -> F:
        value = typed(step.parsed(path), self.engine.schema(frame), field=f"{path}.expression")
        return self.engine.derive(frame, step.column, value)

    def resample(self, frame: F, step: steps.ResampleStep, path: str) -> F:
        kind = self.engine.schema(frame).get(self.layout.time)
        if step.every is None:
            if kind not in INTEGERS:
                raise DataUnsuitable(f"{path}.every_steps: the time column is {kind}: set every instead")
            return self.engine.resample(frame, step.every_steps, step.aggregation)
        if kind is ColumnType.TIMESTAMP:
            return self.engine.resample(frame, step.every // MICROSECOND, step.aggregation)
        if kind is ColumnType.DATE and step.every % DAY == timedelta(0):
            return self.engine.resample(frame, step.every // DAY, step.aggregation)
        raise DataUnsuitable(f"{path}.every: the time column is {kind}: it takes a TIMESTAMP, or whole days of a DATE")

    def split(self, frame: F, step: steps.SplitStep, path: str) -> F:
        method = self.pipeline.split_method(step)
        if self.layout.series and step.method is None:
            method = steps.SplitMethod.SERIES
        self._note(path, {"method": str(method), "seed": step.seed})
        shares = (step.test_fraction, step.validation_fraction)
        if method is steps.SplitMethod.SERIES:
            series = self.engine.series(frame)
            if len(series) <= sum(share > 0 for share in shares):
                raise DataUnsuitable(
                    f"{path}: {len(series)} series cannot be divided into so many parts: split by time instead"
                )
            return self.engine.divide_by_series(frame, splits.series_parts(series, *shares, step.seed))
        if method is steps.SplitMethod.TIME:
            return self.engine.divide_by_time(frame, *shares)
        bounds = splits.position_bounds(self.engine.positions(frame), *shares, step.seed)
        return self.engine.divide_by_position(frame, step.seed, bounds)

    def deduplicate(self, frame: F, step: steps.DeduplicateStep, path: str) -> F:
        schema = self._known(frame, step.columns, f"{path}.columns")
        return self.engine.deduplicate(frame, step.columns or list(schema))

    def validate(self, frame: F, step: steps.ValidateStep, path: str) -> F:
        validate(self.report, step.expectations, _Rows(self.engine, frame), self.references, path)
        if not self.report.passed:
            raise Rejected
        return frame

    def window(self, frame: F, _step: steps.WindowStep, _path: str) -> F:
        """Windows are cut at the end, when all rows stand where they stay."""
        return frame

    def _known(self, frame: F, names: Sequence[str], where: str) -> dict[str, ColumnType]:
        schema = self.engine.schema(frame)
        for name in names:
            if name not in schema:
                raise DataUnsuitable(f"{where}: there is no column {name!r}; there are {named(schema)}")
        return schema

    def _columns(
        self, frame: F, names: Sequence[str], where: str, kinds: frozenset[ColumnType], *, only: bool = True
    ) -> list[str]:
        """The named columns, or all of these kinds but series and time."""
        schema = self._known(frame, names, where)
        for name in names:
            if only and schema[name] not in kinds:
                raise DataUnsuitable(f"{where}: column {name!r} is {schema[name]}: only numbers can be treated so")
        return list(names) or [n for n, kind in schema.items() if kind in kinds and n not in self.layout.keys]

    def _values(
        self, frame: F, columns: Sequence[str], value: float, path: str, field: str = "value"
    ) -> dict[str, float]:
        schema = self.engine.schema(frame)
        for name in columns:
            if schema[name] in INTEGERS and not value.is_integer():
                raise DataUnsuitable(f"{path}.{field}: column {name!r} is {schema[name]}: {value} is no whole number")
            bits = 31 if schema[name] is ColumnType.INT32 else 63
            if schema[name] in INTEGERS and not -(2.0**bits) <= value < 2.0**bits:
                raise DataUnsuitable(f"{path}.{field}: column {name!r} is {schema[name]}: {value:g} is beyond it")
        return dict.fromkeys(columns, value)

    def _mean(self, name: str, summary: Summary, path: str) -> float:
        if not summary.count:
            raise DataUnsuitable(f"{path}: column {name!r} has no values in the training part to take the mean of")
        return summary.mean

    def _note(self, path: str, what: dict[str, Any]) -> None:
        self.facts.append({"step": path, **what})


class _Rows(Generic[F]):
    """A services.data.processor.validation.Checked."""

    def __init__(self, engine: Engine[F], frame: F) -> None:
        self._engine = engine
        self._frame = frame
        self.schema: Schema = engine.schema(frame)

    def rows(self, columns: Sequence[str], *, train_only: bool = False) -> pl.DataFrame:
        return self._engine.rows(self._frame, columns, train_only=train_only)


_STEPS: dict[type, Callable[[Plan[Any], Any, Any, str], Any]] = {
    steps.SelectStep: Plan.select,
    steps.CastStep: Plan.cast,
    steps.FillStep: Plan.fill,
    steps.DropStep: Plan.drop,
    steps.ClipStep: Plan.clip,
    steps.ScaleStep: Plan.scale,
    steps.DeriveStep: Plan.derive,
    steps.ResampleStep: Plan.resample,
    steps.WindowStep: Plan.window,
    steps.SplitStep: Plan.split,
    steps.DeduplicateStep: Plan.deduplicate,
    steps.ValidateStep: Plan.validate,
}
