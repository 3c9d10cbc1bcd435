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


def number(given: Mapping[str, Any], key: str, *, default: float, least: float = 0.0, most: float) -> float:
    """A number of the input, within its bounds."""
    value = given.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValidationError(
            f"{key} is {value!r}: it must be a number from {least:g} to {most:g}", field=f"task.input.{key}"
        )
    return float(value)


def string(given: Mapping[str, Any], key: str, *, most: int) -> str:
    """A text of the input; empty when it is absent."""
    value = given.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > most or "\x00" in value:
        raise ValidationError(f"{key} must be a text of at most {most} characters", field=f"task.input.{key}")
    return value
