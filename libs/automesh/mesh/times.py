"""Times and durations of messages, both ways: the one place where protobuf's and Python's meet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from automesh.core.errors import ValidationError


def moment(message: Timestamp, *, field: str) -> datetime:
    """A time with zone. Raises ValidationError for one that no calendar has."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValidationError(f"{field} is not a time between the years 1 and 9999", field=field) from error


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


def duration(span: timedelta | None) -> Duration | None:
    """None stays None: an absent field."""
    if span is None:
        return None
    message = Duration()
    message.FromTimedelta(span)
    return message
