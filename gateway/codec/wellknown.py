"""Well-known types in their own JSON form: text <-> message. Each reader fills the message that it is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message

from gateway.codec.faults import BadValue
from gateway.codec.scalars import number_to_json

Fill = Callable[[Any, Any], None]
Show = Callable[[Any], Any]

_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s", re.ASCII)
_MAX_DURATION_S = 315_576_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_S, _MAX_S = -62_135_596_800, 253_402_300_799  # year 1 to year 9999
_CAMEL_PATH = re.compile(r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)*", re.ASCII)
_SNAKE_STEP = re.compile(r"_([a-z0-9])")
_NANOS_DIGITS = 9


def fill_timestamp(message: Any, value: Any) -> None:
    """RFC 3339 with an offset, at most nine digits of a second, from year 1 to 9999."""
    match = _TIMESTAMP.fullmatch(value) if type(value) is str else None
    if match is None:
        raise BadValue('expected a time as in "2026-01-31T12:00:00Z"')
    try:
        moment = datetime.fromisoformat(f"{match[1]}+00:00")
        seconds = (moment - _EPOCH) // timedelta(seconds=1) - _offset_s(match[3])
    except ValueError as error:
        raise BadValue(f"no such time: {error}") from None
    if not _MIN_S <= seconds <= _MAX_S:
        raise BadValue("the time is out of range: from year 1 to year 9999 in UTC")
    message.seconds = seconds
    message.nanos = _nanos(match[2])


def _offset_s(text: str) -> int:
    if text == "Z":
        return 0
    hours, minutes = int(text[1:3]), int(text[4:6])
    if hours > 23 or minutes > 59:  # noqa: PLR2004 - hours and minutes of a day
        raise ValueError(f"the offset {text} is more than a day")
    seconds = hours * 3600 + minutes * 60
    return -seconds if text[0] == "-" else seconds


def show_timestamp(message: Any) -> str:
    """UTC with 0, 3, 6 or 9 digits of a second."""
    moment = _EPOCH + timedelta(seconds=message.seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + _fraction(message.nanos) + "Z"


def fill_duration(message: Any, value: Any) -> None:
    """Decimal seconds with an `s`."""
    match = _DURATION.fullmatch(value) if type(value) is str else None
    if match is None:
        raise BadValue('expected seconds as in "3.5s"')
    sign, seconds, nanos = -1 if match[1] else 1, int(match[2]), _nanos(match[3])
    if seconds > _MAX_DURATION_S or (seconds == _MAX_DURATION_S and nanos):
        raise BadValue("the duration is over 10,000 years")
    message.seconds, message.nanos = sign * seconds, sign * nanos


def show_duration(message: Any) -> str:
    """Decimal seconds with 0, 3, 6 or 9 digits."""
    negative = message.seconds < 0 or message.nanos < 0
    return f"{'-' if negative else ''}{abs(message.seconds)}{_fraction(abs(message.nanos))}s"


def _nanos(digits: str | None) -> int:
    return int((digits or "").ljust(_NANOS_DIGITS, "0"))


def _fraction(nanos: int) -> str:
    if not nanos:
        return ""
    digits = f"{nanos:09d}"
    for length in (3, 6):
        if not digits[length:].strip("0"):
            return f".{digits[:length]}"
    return f".{digits}"


def fill_mask(message: Any, value: Any) -> None:
    """A comma list of lowerCamelCase paths."""
    if type(value) is not str:
        raise BadValue('expected field paths as in "displayName,retryPolicy.maxRetries"')
    for path in value.split(",") if value else ():
        if not _CAMEL_PATH.fullmatch(path):
            raise BadValue(f"{path[:60]!r} is no field path in lowerCamelCase")
        message.paths.append("".join(f"_{char.lower()}" if char.isupper() else char for char in path))


def fill_mask_text(message: Any, value: str) -> None:
    """The same from a query, where snake_case is as common."""
    fill_mask(message, ",".join(_camel(path) for path in value.split(",")) if value else "")


def show_mask(message: Any) -> str:
    """The comma list of lowerCamelCase paths."""
    return ",".join(_camel(path) for path in message.paths)


def _camel(path: str) -> str:
    return _SNAKE_STEP.sub(lambda match: match[1].upper(), path)


def fill_struct(message: Any, value: Any) -> None:
    """A JSON object as google.protobuf.Struct."""
    if type(value) is not dict:
        raise BadValue("expected an object")
    fields = message.fields
    message.SetInParent()
    for key, each in value.items():
        try:
            _check_text(key)
            fill_value(fields[key], each)
        except BadValue as fault:
            raise fault.under(key) from None


def fill_list(message: Any, value: Any) -> None:
    """A JSON list as google.protobuf.ListValue."""
    if type(value) is not list:
        raise BadValue("expected a list")
    values = message.values
    message.SetInParent()
    for at, each in enumerate(value):
        try:
            fill_value(values.add(), each)
        except BadValue as fault:
            raise fault.under(f"[{at}]") from None


def fill_value(message: Any, value: Any) -> None:
    """Any JSON value as google.protobuf.Value."""
    _VALUE_KINDS[type(value)](message, value)


def _fill_null(message: Any, _: Any) -> None:
    message.null_value = 0


def _fill_bool(message: Any, value: bool) -> None:
    message.bool_value = value


def _fill_number(message: Any, value: float) -> None:
    try:
        message.number_value = value
    except (OverflowError, ValueError, TypeError):
        raise BadValue("the number is too large") from None


def _fill_string(message: Any, value: str) -> None:
    _check_text(value)
    message.string_value = value


def _check_text(value: str) -> None:
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise BadValue("the string holds half of a surrogate pair, which is no character")


_VALUE_KINDS: dict[type, Fill] = {
    type(None): _fill_null,
    bool: _fill_bool,
    int: _fill_number,
    float: _fill_number,
    str: _fill_string,
    dict: lambda message, value: fill_struct(message.struct_value, value),
    list: lambda message, value: fill_list(message.list_value, value),
}


def show_struct(message: Any) -> dict[str, Any]:
    """google.protobuf.Struct as a JSON object."""
    return {key: show_value(value) for key, value in message.fields.items()}


def show_list(message: Any) -> list[Any]:
    """google.protobuf.ListValue as a JSON list."""
    return [show_value(value) for value in message.values]


def show_value(message: Any) -> Any:
    """google.protobuf.Value as any JSON value."""
    kind = message.WhichOneof("kind")
    if kind == "string_value":
        return message.string_value
    if kind == "number_value":
        return number_to_json(message.number_value)
    if kind == "bool_value":
        return message.bool_value
    if kind == "struct_value":
        return show_struct(message.struct_value)
    return show_list(message.list_value) if kind == "list_value" else None


def fill_empty(message: Message, value: Any) -> None:
    """google.protobuf.Empty: the empty object."""
    if value != {} or type(value) is not dict:
        raise BadValue("expected the empty object {}")


READERS: dict[str, Fill] = {
    "google.protobuf.Timestamp": fill_timestamp,
    "google.protobuf.Duration": fill_duration,
    "google.protobuf.FieldMask": fill_mask,
    "google.protobuf.Struct": fill_struct,
    "google.protobuf.ListValue": fill_list,
    "google.protobuf.Value": fill_value,
    "google.protobuf.Empty": fill_empty,
}
WRITERS: dict[str, Show] = {
    "google.protobuf.Timestamp": show_timestamp,
    "google.protobuf.Duration": show_duration,
    "google.protobuf.FieldMask": show_mask,
    "google.protobuf.Struct": show_struct,
    "google.protobuf.ListValue": show_list,
    "google.protobuf.Value": show_value,
}
WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)
ANY = "google.protobuf.Any"
VALUE = "google.protobuf.Value"
