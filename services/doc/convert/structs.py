"""JSON in messages, as Python has it."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value

from automesh.core.errors import ValidationError


def plain(message: Struct | Value, *, field: str) -> Any:
    """A dict of a Struct, anything of a Value. Raises ValidationError for numbers that JSON does not have."""
    try:
        return json_format.MessageToDict(message)
    except ValueError as error:
        raise ValidationError("NaN and infinity are no numbers of JSON", field=field) from error
