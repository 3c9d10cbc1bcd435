"""Checks of single values, each raising ValidationError with the field's path."""

from __future__ import annotations

import math
from collections.abc import Collection

from automesh.core.errors import ValidationError


def within(value: float, low: float, high: float, *, field: str) -> None:
    """Raises unless low <= value <= high; NaN never is."""
    if not low <= value <= high:
        raise ValidationError(f"{field} is {value:g}, not between {low:g} and {high:g}", field=field, value=value)


def positive(value: float, high: float, *, field: str) -> None:
    """Raises unless 0 < value <= high."""
    if not (math.isfinite(value) and 0 < value <= high):
        raise ValidationError(f"{field} is {value:g}, not above 0 and at most {high:g}", field=field, value=value)


def fraction(value: float, *, field: str) -> None:
    """Raises unless 0 <= value < 1."""
    if not 0 <= value < 1:
        raise ValidationError(f"{field} is {value:g}, not from 0 to below 1", field=field, value=value)


def one_of(value: str, known: Collection[str], *, field: str) -> None:
    """Raises unless `value` is one of `known`."""
    if value not in known:
        raise ValidationError(f"{field} is {value[:60]!r}, not one of {', '.join(sorted(known))}", field=field)


def text(value: str, longest: int, *, field: str) -> None:
    """Raises for texts that are too long or hold a NUL character."""
    if len(value) > longest:
        raise ValidationError(f"{field} has {len(value)} characters, more than {longest}", field=field)
    if "\x00" in value:
        raise ValidationError(f"{field} contains a NUL character", field=field)


def names(values: Collection[str], most: int, *, field: str) -> None:
    """Raises for too many names, for empty ones and for repetitions."""
    if len(values) > most:
        raise ValidationError(f"{field} has {len(values)} entries, more than {most}", field=field)
    seen: set[str] = set()
    for value in values:
        text(value, 1000, field=field)
        if not value:
            raise ValidationError(f"{field} holds an empty name", field=field)
        if value in seen:
            raise ValidationError(f"{field} names {value[:60]!r} twice", field=field)
        seen.add(value)


def pairs(values: dict[str, str], *, field: str) -> None:
    """Raises for more than 64 tags and for keys or values beyond 100 characters."""
    names(values, 64, field=field)
    for key, value in values.items():
        text(key, 100, field=field)
        text(value, 100, field=field)
