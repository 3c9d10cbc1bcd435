"""Times, durations and JSON objects, both ways."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from automesh.core.errors import ValidationError
from services.orchestrator.domain.document import Document

_EXACT = 2**53
"""Doubles hold every whole number below this."""


def moment(message: Timestamp, *, field: str) -> datetime:
    """A time with zone. Raises ValidationError for one that no calendar has."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValidationError(f"{field} is not a time: {error}", field=field) from error


def timestamp(moment: datetime | None) -> Timestamp | None:
    """None stays None: an absent field."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def span(message: Duration, *, field: str) -> timedelta:
    """A duration. Raises ValidationError for one out of range."""
    try:
        return message.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise ValidationError(f"{field} is not a duration: {error}", field=field) from error


def duration(span: timedelta) -> Duration:
    """The message of a duration."""
    message = Duration()
    message.FromTimedelta(span)
    return message


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
