"""What the model service sees of a dataset's version, and whether a training fits it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.model.domain.runs.errors import DataDoesNotFit, DatasetNotReady
from services.model.domain.training.objective import ObjectiveKind
from services.model.domain.training.spec import TrainingSpec

READY = "READY"
NUMBERS = frozenset({"INT32", "INT64", "FLOAT32", "FLOAT64"})
NUMERIC = NUMBERS | {"BOOLEAN"}
"""What a network can read; booleans only where they are named."""
TRAIN = "train"
_SHOWN = 12
"""Columns that an error names at most."""


@dataclass(frozen=True, slots=True)
class ColumnView:
    """A column; `type` as in the data service, for example "FLOAT64"."""

    name: str
    type: str

    @property
    def is_numeric(self) -> bool:
        """Whether a network can read it."""
        return self.type in NUMERIC


@dataclass(frozen=True, slots=True)
class PartView:
    """A part; `windows` is 0 where nothing was cut."""

    name: str
    rows: int
    windows: int
    series: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataView:
    """A version of a dataset. `window` and `horizon` are 0 where nothing was cut."""

    data_id: str
    version: int
    state: str
    columns: tuple[ColumnView, ...] = ()
    parts: tuple[PartView, ...] = ()
    window: int = 0
    stride: int = 0
    horizon: int = 0
    digest: str = ""
    failure: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.data_id} version {self.version}"

    def column(self, name: str, *, field: str) -> ColumnView:
        """The column. Raises DataDoesNotFit, which names those there are."""
        for each in self.columns:
            if each.name == name:
                return each
        shown = ", ".join(each.name for each in self.columns[:_SHOWN])
        more = f" and {len(self.columns) - _SHOWN} more" if len(self.columns) > _SHOWN else ""
        raise DataDoesNotFit(
            f"{field}: {self.name} has no column {name[:80]!r}; it has {shown or 'none'}{more}", field=field
        )


def fitted(spec: TrainingSpec, data: DataView) -> TrainingSpec:
    """The spec with the data's version fixed. Raises DatasetNotReady and DataDoesNotFit."""
    _check_ready(data)
    _check_columns(spec, data)
    _check_length(spec, data)
    return replace(spec, data=replace(spec.data, version=data.version))


def check_metric(metric: str, data: DataView) -> None:
    """Raises DataDoesNotFit for a metric that no part of the data can give."""
    needs = {"val": ("validation", "test"), "test": ("test",)}.get(metric.partition("/")[0])
    parts = [each.name for each in data.parts]
    if needs and not set(needs) & set(parts):
        raise DataDoesNotFit(
            f"metric {metric} is measured on a part {' or '.join(needs)}, and {data.name} has only {', '.join(parts)}: "
            "split it in the pipeline, or let train/loss decide",
            field="metric",
        )


def _check_ready(data: DataView) -> None:
    if data.state == READY:
        return
    why = f": {data.failure}" if data.failure else ""
    raise DatasetNotReady(
        f"{data.name} is {data.state}{why}; only a READY version can be learned (version 0 is the latest of them)",
        dataId=data.data_id,
        version=data.version,
        state=data.state,
    )


def _check_columns(spec: TrainingSpec, data: DataView) -> None:
    for name in spec.data.features:
        _check_numeric(data, name, field="spec.data.features")
    classes = spec.objective.kind is ObjectiveKind.CLASSIFICATION
    for name in spec.data.targets:
        column = data.column(name, field="spec.data.targets")
        if not classes and not column.is_numeric:
            raise _not_numeric(data, column, "spec.data.targets")
    targets = () if spec.objective.kind is ObjectiveKind.FORECASTING else spec.data.targets
    if not spec.data.features and not any(each.type in NUMBERS and each.name not in targets for each in data.columns):
        raise DataDoesNotFit(
            f"{data.name} has no numeric column besides the targets: nothing can go into the network",
            field="spec.data.features",
        )


def _check_numeric(data: DataView, name: str, *, field: str) -> None:
    column = data.column(name, field=field)
    if not column.is_numeric:
        raise _not_numeric(data, column, field)


def _not_numeric(data: DataView, column: ColumnView, field: str) -> DataDoesNotFit:
    return DataDoesNotFit(
        f"{field}: column {column.name!r} of {data.name} is {column.type}, not numeric: cast it in the pipeline, or "
        "leave it out",
        field=field,
        column=column.name,
        type=column.type,
    )


def _check_length(spec: TrainingSpec, data: DataView) -> None:
    train = next((each for each in data.parts if each.name == TRAIN), None)
    if train is None or train.rows == 0:
        raise DataDoesNotFit(f"{data.name} has no rows in a part {TRAIN!r}", field="spec.data.data_id")
    window, horizon = _lengths(spec, data)
    needs = window + horizon
    features = len(spec.data.features) or "all numeric"
    if train.rows < needs:
        raise DataDoesNotFit(
            f"spec.data: one window is [{window} rows, {features} features]"
            + (f" and {horizon} rows after it" if horizon else "")
            + f", but part {TRAIN!r} of {data.name} is [{train.rows} rows, {len(data.columns)} columns]: shorter than "
            "one window",
            field="spec.data.window",
            window=window,
            horizon=horizon,
            rows=train.rows,
        )
    if data.window and not spec.data.window and train.windows == 0:
        raise DataDoesNotFit(
            f"part {TRAIN!r} of {data.name} has no window of {data.window} rows: all its series are shorter",
            field="spec.data.window",
        )


def _lengths(spec: TrainingSpec, data: DataView) -> tuple[int, int]:
    window = spec.data.window or data.window
    if window == 0:
        raise DataDoesNotFit(
            f"spec.data.window is 0 and {data.name} was not cut into windows: say how many rows a window has",
            field="spec.data.window",
        )
    if spec.objective.kind is not ObjectiveKind.FORECASTING:
        return window, 0
    return window, spec.data.horizon or data.horizon or 1
