"""JSON objects, both ways."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from automesh.core.errors import ValidationError
from services.orchestrator.domain.document import Document

_EXACT = 2**53
"""Doubles hold every whole number below this."""


def document(message: Struct, *, field: str) -> Document:
    """The JSON object. Raises ValidationError for NaN and infinity, which JSON lacks."""
    try:
        return Document.of(_object(message), field=field)
    except ValueError as error:
        raise ValidationError(f"{field} is not a JSON object: {error}", field=field) from error


def _object(message: Struct) -> dict[str, Any]:
    return {key: _value(value) for key, value in message.fields.items()}


def _value(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _object(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case "number_value":
            return _number(value.number_value)
        case "null_value" | None:
            return None
        case kind:
            return getattr(value, kind)


def _number(number: float) -> float | int:
    """Whole numbers without their ".0": that is how people sent them, and half as long."""
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a JSON number")
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def struct(document: Document) -> Struct:
    """The message of a JSON object."""
    message = Struct()
    message.update(document.content())
    return message
