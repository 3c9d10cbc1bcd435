"""Classes of a target column: their names as text, in order, and the number of each row's class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.model.domain.training.errors import ClassUnknown, DataNotFinite, OneClassOnly, TooManyClasses
from services.model.domain.training.objective import Objective

MAX_CLASSES = 10_000


def class_names(column: pl.Series, rows: NDArray[np.int64]) -> list[str]:
    """The classes at these rows: numbers by size, texts by alphabet. Raises OneClassOnly, TooManyClasses."""
    _check_nulls(column, "train")
    values = column.gather(rows).unique().sort()
    if len(values) < 2:  # noqa: PLR2004 - a pair is the least
        only = as_text(values)[0] if len(values) else "none"
        raise OneClassOnly(
            f"spec.data.targets: column {column.name!r} has the class {only!r} alone in the training windows: "
            "there is nothing to tell apart"
        )
    if len(values) > MAX_CLASSES:
        raise TooManyClasses(
            f"spec.data.targets: column {column.name!r} has {len(values)} classes, more than {MAX_CLASSES}: "
            "is it a measure? Then take OBJECTIVE_KIND_REGRESSION"
        )
    return as_text(values)


def class_numbers(column: pl.Series, names: list[str], rows: NDArray[np.int64], part: str) -> Tensor:
    """[rows], the class of each. Raises ClassUnknown for one, at these rows, that training has never seen."""
    _check_nulls(column, part)
    number = {name: index for index, name in enumerate(names)}
    found = np.array([number.get(text, -1) for text in as_text(column)], dtype=np.int64)
    unknown = rows[found[rows] < 0]
    if unknown.size:
        raise ClassUnknown(
            f"column {column.name!r} of part {part!r} has the class {as_text(column)[unknown[0]]!r} in row "
            f"{unknown[0]}, which the training part does not have: split otherwise, or drop these rows"
        )
    return torch.from_numpy(np.maximum(found, 0))


def as_text(column: pl.Series) -> list[str]:
    """Whole numbers without their ".0", truths as true and false."""
    if column.dtype == pl.Boolean:
        return ["true" if value else "false" for value in column]
    if column.dtype.is_float():
        return [f"{value:.17g}" for value in column]
    return column.cast(pl.String).to_list()


def class_weights(objective: Objective, names: list[str], numbers: Tensor) -> Tensor | None:
    """[classes], with a mean of 1 over the training windows `numbers`; None when all weigh the same."""
    if not objective.class_weights:
        return None
    counts = torch.bincount(numbers, minlength=len(names)).double()
    if objective.balanced:
        weights = counts.sum() / (len(names) * counts.clamp(min=1))
    else:
        weights = torch.tensor(_given(objective.class_weights, names), dtype=torch.float64)
    mean = (weights * counts).sum() / counts.sum()
    return (weights / mean.clamp(min=1e-12)).float()


def _given(weights: Mapping[str, float], names: list[str]) -> list[float]:
    unknown = sorted(set(weights) - set(names))
    if unknown:
        raise ClassUnknown(
            f"spec.objective.class_weights: there is no class {unknown[0]!r} in the training part; "
            f"there are {', '.join(names[:50])}"
        )
    return [weights.get(name, 1.0) for name in names]


def _check_nulls(column: pl.Series, part: str) -> None:
    bad = column.is_null() | (column.is_nan() if column.dtype.is_float() else False)
    if bad.any():
        raise DataNotFinite(
            f"column {column.name!r} of part {part!r} has {bad.sum()} rows without a class, the first in row "
            f"{bad.arg_true()[0]}: add a fill or drop step to the dataset's pipeline"
        )
