"""Which texts of a request hold a NUL: what refuses them, a database, knows no fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from google.protobuf.message import Message

from automesh.core.errors import AutomationError, FieldViolation, ValidationError

MAX_NAMED = 10


def naming_nul(error: AutomationError, request: object) -> AutomationError:
    """The error; one that says only that something is wrong names the fields that hold a NUL."""
    if isinstance(error, ValidationError) and not error.violations and isinstance(request, Message):
        named = islice(_fields(request, ""), MAX_NAMED)
        error.violations = tuple(FieldViolation(field, error.message) for field in named)
    return error


def _fields(message: Message, path: str) -> Iterator[str]:
    for field, value in message.ListFields():
        for each in _each(value) if field.is_repeated else [value]:
            if isinstance(each, Message):
                yield from _fields(each, f"{path}{field.name}.")
            elif isinstance(each, str) and "\x00" in each:
                yield f"{path}{field.name}"


def _each(values: Any) -> Iterable[Any]:
    """Of a list; keys and values of a map."""
    return chain(values.keys(), values.values()) if hasattr(values, "keys") else values
