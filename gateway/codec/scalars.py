"""Scalars of ProtoJSON, both ways. A converter takes what the JSON (or query) held and gives what protobuf takes."""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from gateway.codec.faults import BadValue

Convert = Callable[[Any], Any]

_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_BASE64 = re.compile(r"([A-Za-z0-9+/_-]*)(={0,2})", re.ASCII)
_FLOAT_MAX = 3.4028235677973366e38  # halfway between the largest float and the next one: beyond, it rounds to infinity
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_WHOLE_MAX = 1e15  # beyond, a whole double may stand for its neighbours as well: an exponent says so

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)
UINT32 = (0, 2**32 - 1)
UINT64 = (0, 2**64 - 1)

INTEGER_RANGES = {
    FieldDescriptor.TYPE_INT32: INT32,
    FieldDescriptor.TYPE_SINT32: INT32,
    FieldDescriptor.TYPE_SFIXED32: INT32,
    FieldDescriptor.TYPE_INT64: INT64,
    FieldDescriptor.TYPE_SINT64: INT64,
    FieldDescriptor.TYPE_SFIXED64: INT64,
    FieldDescriptor.TYPE_UINT32: UINT32,
    FieldDescriptor.TYPE_FIXED32: UINT32,
    FieldDescriptor.TYPE_UINT64: UINT64,
    FieldDescriptor.TYPE_FIXED64: UINT64,
}


def from_json(field: FieldDescriptor) -> Convert:
    """The converter for a JSON value of a scalar or enum field."""
    if field.type in INTEGER_RANGES:
        return _integer(*INTEGER_RANGES[field.type])
    if field.enum_type is not None:
        return _enum(field.enum_type)
    return {
        FieldDescriptor.TYPE_BOOL: _bool,
        FieldDescriptor.TYPE_STRING: _string,
        FieldDescriptor.TYPE_BYTES: to_bytes,
        FieldDescriptor.TYPE_FLOAT: _float,
        FieldDescriptor.TYPE_DOUBLE: _double,
    }[field.type]


def from_text(field: FieldDescriptor) -> Convert:
    """The converter for the text of a query parameter, a path capture or a map key."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _bool_text
    if field.enum_type is not None:
        return _enum_text(field.enum_type)
    if field.type in INTEGER_RANGES:
        return _integer_text(*INTEGER_RANGES[field.type])
    return from_json(field)


def to_json(field: FieldDescriptor) -> Convert | None:
    """The converter for output; None where protobuf's value is JSON's."""
    if field.type in INTEGER_RANGES:
        return str if INTEGER_RANGES[field.type] in (INT64, UINT64) else None
    if field.enum_type is not None:
        return _enum_name(field.enum_type)
    writers: dict[int, Convert] = {
        FieldDescriptor.TYPE_BYTES: _base64,
        FieldDescriptor.TYPE_FLOAT: _short_float,
        FieldDescriptor.TYPE_DOUBLE: number_to_json,
    }
    return writers.get(field.type)


def number_to_json(value: float) -> Any:
    """A double: whole ones without a fraction, those that JSON lacks as strings."""
    if value.is_integer() and abs(value) < _WHOLE_MAX and (value or math.copysign(1, value) > 0):
        return int(value)
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _integer(low: int, high: int) -> Convert:
    text = _integer_text(low, high)

    def convert(value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is int:
            return _within(value, low, high)
        if type(value) is str:
            return text(value)  # type: ignore[no-any-return] # one function per kind of field
        raise BadValue(f"expected a whole number, not {_kind(value)}")

    return convert


def _integer_text(low: int, high: int) -> Convert:
    def convert(text: str) -> int:
        if _INTEGER.fullmatch(text):
            return _within(int(text), low, high)
        if _NUMBER.fullmatch(text):
            number = float(text)
            if number.is_integer():
                return _within(int(number), low, high)
        raise BadValue(f"expected a whole number, not {_shown(text)}")

    return convert


def _within(value: int, low: int, high: int) -> int:
    if low <= value <= high:
        return value
    raise BadValue(f"{_shown(str(value))} is out of range: from {low} to {high}")


def _double(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return _to_float(value)
    if type(value) is str:
        if value in _SPECIAL:
            return _SPECIAL[value]
        if _NUMBER.fullmatch(value):
            return _finite(float(value), value)
    raise BadValue(f"expected a number, not {_kind(value)}")


def _float(value: Any) -> float:
    number = _double(value)
    if math.isfinite(number) and abs(number) >= _FLOAT_MAX:
        raise BadValue(f"{_shown(str(value))} is out of the range of a float")
    return number


def _to_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise BadValue("the number is too large") from None


def _finite(number: float, text: str) -> float:
    if math.isinf(number):
        raise BadValue(f"the number {_shown(text)} is too large")
    return number


def _bool(value: Any) -> bool:
    if value is True or value is False:
        return value
    raise BadValue(f"expected true or false, not {_kind(value)}")


def _bool_text(text: str) -> bool:
    if text in ("true", "false"):
        return text == "true"
    raise BadValue(f"expected true or false, not {_shown(text)}")


def _string(value: Any) -> str:
    if type(value) is not str:
        raise BadValue(f"expected a string, not {_kind(value)}")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise BadValue("the string holds half of a surrogate pair, which is no character")
    return value


def to_bytes(value: Any) -> bytes:
    """Base64, standard or URL alphabet, padded or not."""
    match = _BASE64.fullmatch(value) if type(value) is str else None
    if match is None:
        raise BadValue("expected base64")
    digits, padding = match[1], match[2]
    if len(digits) % 4 == 1 or (padding and (len(digits) + len(padding)) % 4):
        raise BadValue("expected base64: the length is wrong")
    text = digits.replace("-", "+").replace("_", "/") + "=" * (-len(digits) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise BadValue("expected base64") from None


def _enum(descriptor: EnumDescriptor) -> Convert:
    names = {value.name: value.number for value in descriptor.values}
    closed = bool(descriptor.is_closed)
    numbers = frozenset(names.values())

    def convert(value: Any) -> int:
        if type(value) is str:
            if value in names:
                return names[value]
            raise BadValue(f"{_shown(value)} is no value of {descriptor.full_name}: {_some(list(names))}")
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise BadValue(f"expected the name of a {descriptor.full_name}, not {_kind(value)}")
        if closed and value not in numbers:
            raise BadValue(f"{value} is no value of {descriptor.full_name}: {_some(list(names))}")
        return _within(value, *INT32)

    return convert


def _enum_text(descriptor: EnumDescriptor) -> Convert:
    convert, numbers = _enum(descriptor), frozenset(value.number for value in descriptor.values)

    def convert_text(text: str) -> int:
        if _INTEGER.fullmatch(text) and int(text) in numbers:
            return int(text)
        return convert(text)  # type: ignore[no-any-return] # one function per kind of field

    return convert_text


def _enum_name(descriptor: EnumDescriptor) -> Convert:
    if descriptor.full_name == "google.protobuf.NullValue":
        return lambda _: None
    names: dict[int, str] = {}
    for value in descriptor.values:
        names.setdefault(value.number, value.name)
    return lambda number: names.get(number, number)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _short_float(value: float) -> Any:
    """The shortest decimal that is the same 32-bit float."""
    if not math.isfinite(value) or value.is_integer():
        return number_to_json(value)
    packed = struct.pack("<f", value)
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        if struct.pack("<f", short) == packed:
            return short
    return float(f"{value:.9g}")


def _kind(value: Any) -> str:
    if type(value) is str:
        return _shown(value)
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _shown(text: str) -> str:
    limit = 60
    return repr(text if len(text) <= limit else f"{text[:limit]}…")


def _some(names: list[str]) -> str:
    limit = 12
    return "it is one of " + ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
