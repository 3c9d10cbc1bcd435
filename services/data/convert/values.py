"""JSON objects and messages written as JSON, both ways."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from automesh.core.errors import ValidationError

M = TypeVar("M", bound=Message)


def struct(content: Mapping[str, Any]) -> Struct:
    """The message of a JSON object; numbers that JSON lacks become texts."""
    message = Struct()
    message.update(plain(content))
    return message


def to_json(message: Message) -> dict[str, Any]:
    """A message as JSON with the field names of the proto."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def of_json(content: Any, message: M, *, field: str, lenient: bool = False) -> M:
    """The message in a piece of JSON. Raises ValidationError, naming `field`, for what it does not know.

    Where it is `lenient`, fields that it does not know are left out.
    """
    try:
        return json_format.ParseDict(content, message, ignore_unknown_fields=lenient)
    except (json_format.ParseError, TypeError, AttributeError, ValueError) as error:
        raise ValidationError(f"{field}: {error}", field=field) from error


def plain(value: Any) -> Any:
    """JSON values that a Struct can hold: numbers that JSON lacks become texts."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
