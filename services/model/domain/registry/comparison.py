"""Versions side by side: their metrics, and the parameters in which they differ. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from automesh.core.errors import ValidationError
from services.model.domain.registry.version import ModelVersion

LEAST, MOST = 2, 20
ABSENT = "null"


@dataclass(frozen=True, slots=True)
class Row:
    """A metric (numbers; NaN where a version has none) or a parameter (JSON texts) of each version."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The versions in the order asked for, and what is told of them."""

    versions: Sequence[ModelVersion]
    metrics: Sequence[Row]
    parameters: Sequence[Row]


def check_count(count: int) -> None:
    """Raises ValidationError unless so many can be compared."""
    if not LEAST <= count <= MOST:
        raise ValidationError(f"from {LEAST} to {MOST} versions are compared, not {count}", field="versions")


def compare(versions: Sequence[ModelVersion]) -> Comparison:
    """All metrics of any; of the parameters those that are not equal in all."""
    metrics = [version.content.metrics for version in versions]
    names = sorted({name for each in metrics for name in each})
    flat = [dict(_leaves(version.content.spec)) for version in versions]
    paths = sorted({path for each in flat for path in each})
    rows = (Row(path, tuple(each.get(path, ABSENT) for each in flat)) for path in paths)
    return Comparison(
        versions=versions,
        metrics=[Row(name, tuple(float(each.get(name, math.nan)) for each in metrics)) for name in names],
        parameters=[row for row in rows if len(set(row.values)) > 1],
    )


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted paths and their values as JSON; lists are values."""
    if isinstance(value, Mapping) and (value or not path):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
        return
    yield path, orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
