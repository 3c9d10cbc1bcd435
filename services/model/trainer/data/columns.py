"""Which columns go in and which are learned, and their values as float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from services.model.domain.training.errors import ColumnMissing, DataNotFinite, FeatureNotNumeric
from services.model.domain.training.objective import ObjectiveKind
from services.model.domain.training.spec import TrainingSpec
from services.model.trainer.data.manifest import Manifest

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Columns:
    """Names, in order. Anomaly learns its features."""

    features: tuple[str, ...]
    targets: tuple[str, ...]


def choose(schema: pl.Schema, spec: TrainingSpec, manifest: Manifest) -> Columns:
    """The columns a spec means. Raises ColumnMissing and FeatureNotNumeric, naming field and column."""
    kind, data = spec.objective.kind, spec.data
    for field, names in (("features", data.features), ("targets", data.targets)):
        _check_there(names, schema, field)
    features = data.features or _all_numeric(schema, spec, manifest)
    if not features:
        raise ColumnMissing(
            "spec.data.features is empty and the data has no numeric column beside series, time and targets: "
            f"name the features; there are {', '.join(schema.names()[:50])}"
        )
    targets = features if kind is ObjectiveKind.ANOMALY else data.targets or features
    measured = features if kind is ObjectiveKind.CLASSIFICATION else (*features, *targets)
    for name in measured:
        _check_numeric(name, schema[name], "features" if name in features else "targets")
    return Columns(tuple(features), tuple(targets))


def _all_numeric(schema: pl.Schema, spec: TrainingSpec, manifest: Manifest) -> tuple[str, ...]:
    aside = {manifest.series_column, manifest.time_column}
    if spec.objective.kind is not ObjectiveKind.FORECASTING:  # there the past of a target is known
        aside |= set(spec.data.targets)
    return tuple(name for name, dtype in schema.items() if dtype.is_numeric() and name not in aside)


def _check_there(names: Sequence[str], schema: pl.Schema, field: str) -> None:
    missing = [name for name in names if name not in schema]
    if missing:
        raise ColumnMissing(
            f"spec.data.{field}: the data has no column {missing[0]!r}; it has {', '.join(schema.names()[:50])}"
        )


def _check_numeric(name: str, dtype: pl.DataType, field: str) -> None:
    if not (dtype.is_numeric() or dtype == pl.Boolean):
        raise FeatureNotNumeric(
            f"spec.data.{field}: column {name!r} is {dtype}, not a number: leave it out, or cast it in the pipeline"
        )


def floats(frame: pl.DataFrame, names: Sequence[str], part: str) -> Floats:
    """[rows, columns], contiguous. Raises DataNotFinite, naming column, part and row."""
    values = np.empty((frame.height, len(names)), dtype=np.float32)
    for number, name in enumerate(names):
        column = frame[name].cast(pl.Float32).to_numpy()
        finite = np.isfinite(column)
        if not finite.all():
            bad = np.flatnonzero(~finite)
            raise DataNotFinite(
                f"column {name!r} of part {part!r} has {bad.size} rows with null, NaN or infinity, the "
                f"first in row {bad[0]}: add a fill, drop or clip step to the dataset's pipeline"
            )
        values[:, number] = column
    return values
