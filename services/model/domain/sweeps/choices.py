"""The parameters of a sweep: every combination, or draws from ranges. Values are JSON texts by dotted path. Pure."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from automesh.core.errors import ValidationError
from services.model.domain import bounds
from services.model.domain.sweeps.sweep import MAX_TRIALS

MAX_PARAMETERS = 20
MAX_VALUES = 1000
OPEN = ("architecture.", "objective.", "optimization.", "data.", "checkpointing.", "seed", "deterministic")
CLOSED = ("data.dataid", "data.version")
"""Without "_" and in lower case, as JSON knows two spellings of each name."""
MAX_PATH = 200
MAX_PARTS = 20
MAX_VALUE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What differs: `values` (JSON), or a range."""

    path: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        field = f"parameters[{self.path}]"
        bounds.text(self.path, MAX_PATH, field="parameters.path")
        closed = self.path.replace("_", "").lower() in CLOSED
        if not self.path.startswith(OPEN) or closed or self.path.count(".") >= MAX_PARTS:
            raise ValidationError(
                f"parameters.path {self.path[:80]!r} is none that a sweep may change: take one below "
                "architecture, objective, optimization, data, checkpointing, or seed",
                field="parameters.path",
            )
        if len(self.values) > MAX_VALUES:
            raise ValidationError(f"{field} has {len(self.values)} values, more than {MAX_VALUES}", field=field)
        for value in self.values:
            _check_json(value, field)
        if not self.values:
            self._check_range(field)

    def draw(self, rand: random.Random) -> str:
        """One of the values, or a number of the range, as JSON."""
        if self.values:
            return self.values[rand.randrange(len(self.values))]
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        number = rand.uniform(low, high)
        number = min(self.high, max(self.low, math.exp(number) if self.log else number))
        return json.dumps(round(number) if self.integer else number)

    def _check_range(self, field: str) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValidationError(f"{field} needs values, or a range with min < max", field=field)
        if self.log and self.low <= 0:
            raise ValidationError(f"{field}: min is {self.low:g}, and 0 or less has no logarithm", field=field)


def grid(parameters: Sequence[Parameter]) -> list[dict[str, str]]:
    """Every combination. Raises ValidationError for ranges and for more than MAX_TRIALS."""
    _check(parameters)
    for each in parameters:
        if not each.values:
            raise ValidationError(
                f"parameters[{each.path}] is a range, and a grid needs values: name them, or draw at random",
                field="parameters",
            )
    count = math.prod(len(each.values) for each in parameters)
    if count > MAX_TRIALS:
        raise ValidationError(f"the grid has {count} combinations, more than {MAX_TRIALS}", field="parameters")
    paths = [each.path for each in parameters]
    return [
        dict(zip(paths, values, strict=True)) for values in itertools.product(*(each.values for each in parameters))
    ]


def draws(parameters: Sequence[Parameter], trials: int, seed: int) -> list[dict[str, str]]:
    """`trials` draws; the same seed draws the same."""
    _check(parameters)
    if not 1 <= trials <= MAX_TRIALS:
        raise ValidationError(f"trials is {trials}, not between 1 and {MAX_TRIALS}", field="trials")
    rand = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    return [{each.path: each.draw(rand) for each in parameters} for _ in range(trials)]


def with_values(content: Mapping[str, object], values: Mapping[str, str]) -> dict[str, object]:
    """A JSON object with values set at dotted paths; what is not an object on the way is replaced by one."""
    changed: dict[str, object] = json.loads(json.dumps(content))
    for path, value in values.items():
        *folders, name = path.split(".")
        place = changed
        for part in folders:
            inner = place.get(part)
            if not isinstance(inner, dict):
                inner = place[part] = {}
            place = inner
        place[name] = json.loads(value)
    return changed


def _check(parameters: Sequence[Parameter]) -> None:
    if not 1 <= len(parameters) <= MAX_PARAMETERS:
        raise ValidationError(
            f"a sweep varies 1 to {MAX_PARAMETERS} parameters, such as optimization.clip_norm, not {len(parameters)}",
            field="parameters",
        )
    paths = [each.path for each in parameters]
    if len(set(paths)) < len(paths):
        raise ValidationError("a sweep names each path once", field="parameters")


def _check_json(value: str, field: str) -> None:
    bounds.text(value, MAX_VALUE, field=field)
    try:
        json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"{field}: {value[:60]!r} is not JSON (a text needs quotes)", field=field) from error
