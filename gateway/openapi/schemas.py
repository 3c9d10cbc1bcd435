"""JSON Schemas (draft 2020-12, as OpenAPI 3.1 has them) of protobuf messages in their JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.codec.scalars import INT64, INTEGER_RANGES, UINT64
from gateway.codec.wellknown import WRAPPERS

Schema = dict[str, Any]

WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$", "examples": ["3.5s"]},
    "google.protobuf.FieldMask": {"type": "string", "examples": ["description,retryPolicy.maxRetries"]},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Empty": {"type": "object", "maxProperties": 0},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
    "google.api.HttpBody": {"type": "string", "format": "binary"},
}
OUTPUT_ONLY = "output only"


class Schemas:
    """Collects the schemas that a document needs, by full proto name."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self.components: dict[str, Schema] = {}

    def message(self, descriptor: Descriptor) -> Schema:
        """A schema for the message: in place for well-known types, else a reference."""
        name = descriptor.full_name
        if name in WELL_KNOWN:
            return dict(WELL_KNOWN[name])
        if name in WRAPPERS:
            return self.value(descriptor.fields_by_name["value"])
        if name not in self.components:
            self.components[name] = {}  # placed first: messages may hold themselves
            self.components[name] = self._object(descriptor)
        return {"$ref": f"#/components/schemas/{name}"}

    def field(self, field: FieldDescriptor) -> Schema:
        """A schema for the field as a whole, with its comment."""
        schema = self._plain(field)
        comment = self._comments.get(field.full_name, "")
        if comment:
            schema["description"] = comment
        if comment.lower().startswith(OUTPUT_ONLY):
            schema["readOnly"] = True
        return schema

    def value(self, field: FieldDescriptor) -> Schema:
        """A schema for one value of the field."""
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
        if field.type in INTEGER_RANGES:
            return _integer(INTEGER_RANGES[field.type])
        return dict(_SCALARS[field.type])

    def _plain(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            values = field.message_type.fields_by_name["value"]
            return {"type": "object", "additionalProperties": self.value(values)}
        schema = self.value(field)
        return {"type": "array", "items": schema} if field.is_repeated else schema

    def _object(self, descriptor: Descriptor) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {field.json_name: self.field(field) for field in descriptor.fields},
        }
        comment = self._comments.get(descriptor.full_name)
        return {**schema, "description": comment} if comment else schema


_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
}


def _integer(bounds: tuple[int, int]) -> Schema:
    if bounds in (INT64, UINT64):
        return {"type": "string", "format": "int64" if bounds == INT64 else "uint64"}
    return {"type": "integer", "minimum": bounds[0], "maximum": bounds[1]}
