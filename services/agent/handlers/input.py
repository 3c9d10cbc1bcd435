"""Reads the input of a task: what is unknown or wrong is refused, saying where and how to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automesh.core.errors import ValidationError


def known(given: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The input, if it has no other keys than these."""
    strange = sorted(set(given) - set(keys))
    if strange:
        raise ValidationError(
            f"the input has unknown keys {', '.join(map(repr, strange))}; known are {', '.join(map(repr, keys))}",
            field=f"task.input.{strange[0]}",
        )
    return given


def number(given: Mapping[str, Any], key: str, *, default: float, most: float) -> float:
    """A number of the input, from 0 to `most`."""
    value = given.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValidationError(f"{key} is {value!r}: it must be a number from 0 to {most:g}", field=f"task.input.{key}")
    return float(value)
