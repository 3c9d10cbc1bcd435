"""Requests that go well, each spoiled in one field: what strangers, fuzzers and broken clients send."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

Spoil = Callable[[Message], None]
LONG = "x" * 200_000
TEXTS = {
    "NUL": "a\0b",
    "long": LONG,
    "a path out": "../../etc/passwd",
    "a reserved name": "con./a\\b:c",
    "odd": "\u202e\ufeff\u0301\U0001f600\u2028\x1b",
    "empty": "",
    "blank": " \t\n",
}
INT32, INT64 = (-(2**31), -1, 2**31 - 1), (-(2**63), -1, 2**63 - 1)
MOMENTS = ((-(2**62), 0), (2**62, 0), (0, -(2**31)), (0, 2**31 - 1), (-1, 0), (253402300799, 999999999))
KEYS = (
    "",
    "\0",
    "9" * 5_000,
    "\n",
    "0001-01-01 a",
    "9999-12-31T23:59:59 \0",
    '["a", 1e999]',
    '["a\\u0000", 1]',
    "[" * 5_000,
)
"""Where pages could go on, if a list were to believe what it reads in a token."""


def spoiled(message: Message, path: str = "") -> Iterator[tuple[str, Spoil]]:
    """What is done to which field, with how: each changes a copy of the message."""
    for field in message.DESCRIPTOR.fields:
        where = f"{path}{field.name}"
        for what, spoil in _of_field(message, field):
            yield f"{where}: {what}", spoil
        inner = field.message_type
        if inner is None or inner.full_name.startswith("google.protobuf.") or field.is_repeated:
            continue
        if message.HasField(field.name):
            for what, spoil in spoiled(getattr(message, field.name), f"{where}."):
                yield what, _within(field.name, spoil)


def forged(token: str) -> Iterator[tuple[str, str]]:
    """Tokens that the filters of a real one go with."""
    _, digest = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    for key in KEYS:
        body = json.dumps([key, digest], separators=(",", ":"))
        yield f"page_token: {key[:30]!r}", base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def _of_field(message: Message, field: Any) -> Iterator[tuple[str, Spoil]]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        yield from _of_map(field)
    elif field.is_repeated:
        yield from _of_list(field)
    elif field.message_type is not None:
        yield from _of_known(field)
    else:
        for what, value in _values(field):
            yield what, _set(field.name, value)


def _values(field: FieldDescriptor) -> Iterator[tuple[str, Any]]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        for what, value in TEXTS.items():
            yield what, value.encode() if field.type == FieldDescriptor.TYPE_BYTES else value
    elif field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        yield from (("unknown", 99), ("negative", -1))
    elif field.cpp_type == FieldDescriptor.CPPTYPE_INT32:
        yield from ((str(value), value) for value in INT32)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_INT64:
        yield from ((str(value), value) for value in INT64)


def _of_known(field: FieldDescriptor) -> Iterator[tuple[str, Spoil]]:
    """Times, spans and JSON."""
    name = getattr(field.message_type, "full_name", "")
    if name in {"google.protobuf.Timestamp", "google.protobuf.Duration"}:
        for seconds, nanos in MOMENTS:
            yield f"{seconds} s {nanos} ns", _within(field.name, _moment(seconds, nanos))
    elif name == "google.protobuf.Struct":
        for what, values in _structs():
            yield what, _within(field.name, lambda struct, values=values: struct.update(values))  # type: ignore[misc]  # the default of a lambda has no type
    elif name == "google.protobuf.Value":
        yield "NaN", _within(field.name, _set("number_value", float("nan")))
        yield "null", _within(field.name, _set("null_value", 0))


def _of_list(field: FieldDescriptor) -> Iterator[tuple[str, Spoil]]:
    if field.message_type is not None:
        yield "an empty one", _more(field.name, [GetMessageClass(field.message_type)()])
        yield "20,000", _more(field.name, [GetMessageClass(field.message_type)()] * 20_000)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        for what, value in TEXTS.items():
            yield what, _more(field.name, [value])
        yield "twice", _more(field.name, ["ben", "ben"])
        yield "20,000", _more(field.name, [f"a{number}" for number in range(20_000)])


def _of_map(field: FieldDescriptor) -> Iterator[tuple[str, Spoil]]:
    for what, key in TEXTS.items():
        yield what, _entry(field.name, key, 1)
    yield "unknown", _entry(field.name, "broken-link", 99)


def _structs() -> Sequence[tuple[str, dict[str, Any]]]:
    deep: Any = "x"
    for _ in range(25):
        deep = {"a": deep}
    return (
        ("NUL", {"a\0": "b\0"}),
        ("NaN", {"a": float("nan"), "title": float("inf")}),
        ("long", {"title": LONG}),
        ("deep", {"title": deep, "type": deep}),
        ("wide", {f"a{n}": n for n in range(20_000)}),
        ("no schema", {"type": 3, "properties": []}),
    )


def _set(name: str, value: Any) -> Spoil:
    return lambda message: setattr(message, name, value)


def _moment(seconds: int, nanos: int) -> Spoil:
    def spoil(message: Any) -> None:
        message.seconds, message.nanos = seconds, nanos

    return spoil


def _more(name: str, values: Sequence[Any]) -> Spoil:
    return lambda message: getattr(message, name).extend(values)


def _entry(name: str, key: str, value: int) -> Spoil:
    return lambda message: getattr(message, name).__setitem__(key, value)


def _within(name: str, spoil: Spoil) -> Spoil:
    return lambda message: spoil(getattr(message, name))
