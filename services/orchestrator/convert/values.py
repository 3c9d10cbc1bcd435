"""Times, durations and JSON objects, both ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from automesh.core.errors import ValidationError
from services.orchestrator.domain.document import Document


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
        content: dict[str, Any] = json_format.MessageToDict(message)
    except (ValueError, json_format.Error, RecursionError) as error:
        raise ValidationError(f"{field} is not a JSON object: {error}", field=field) from error
    return Document.of(content, field=field)


def struct(document: Document) -> Struct:
    """The message of a JSON object."""
    message = Struct()
    message.update(document.content())
    return message
