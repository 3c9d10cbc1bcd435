"""JSON text to Python values, stricter than json.loads: no duplicate keys, no NaN, bounded depth."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

from gateway.codec.faults import BadValue

MAX_DEPTH = 100
"""Nested objects and lists in a request; the depth that protobuf itself reads."""

MAX_VALUES = 300_000
"""Values in a request. A value costs a hundred times its shortest text in memory, so bytes alone are no bound."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_BRACKET = re.compile(rb"[^][{}]+")


def parse_json(body: bytes) -> Any:
    """One JSON value in UTF-8. Raises BadValue saying what is wrong and where."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadValue(f"the body is not UTF-8 (byte {error.start})") from None
    if too_many(body):
        raise BadValue(f"the JSON holds more than {MAX_VALUES} values")
    if too_deep(body):
        raise BadValue(f"the JSON is nested more than {MAX_DEPTH} levels deep")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadValue(f"not valid JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except ValueError as error:  # an integer of thousands of digits
        raise BadValue(f"not valid JSON: {error}") from None


def may_be_deep(body: bytes, limit: int = MAX_DEPTH) -> bool:
    """Quick: False means that the nesting cannot exceed `limit`."""
    return body.count(b"{") + body.count(b"[") > limit


def too_deep(body: bytes) -> bool:
    """Whether the nesting exceeds MAX_DEPTH; brackets inside strings do not count."""
    if not may_be_deep(body):
        return False
    depth = 0
    for bracket in _NOT_BRACKET.sub(b"", _STRING.sub(b"", body)):
        depth += 1 if bracket in b"{[" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def too_many(body: bytes) -> bool:
    """Whether there are more than MAX_VALUES values; what stands inside strings does not count."""
    marks = _marks(body)
    if marks <= MAX_VALUES:
        return False
    # So many are not all inside strings, and taking the strings out would hold up every other request.
    return marks > 10 * MAX_VALUES or _marks(_STRING.sub(b"", body)) > MAX_VALUES


def _marks(body: bytes) -> int:
    return body.count(b",") + body.count(b"{") + body.count(b"[")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise BadValue("the key is given twice", next(key for key, count in counts.items() if count > 1))
    return found


def _no_constant(name: str) -> Any:
    raise BadValue(f'not valid JSON: {name} is no number of JSON; where a float is allowed, send the string "{name}"')


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadValue(f"not valid JSON: the number {text} is too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
