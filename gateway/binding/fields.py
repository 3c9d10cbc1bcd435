"""Fields set from plain text: what a path capture or a query parameter can name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.codec import scalars, wellknown
from gateway.codec.decode import is_map
from gateway.codec.faults import BadValue
from gateway.codec.text import parse_json

MAX_PARTS = 32
"""Depth of a dotted field path in a request."""

SetText = Callable[[Any, str], None]


@dataclass(frozen=True, slots=True)
class TextField:
    """A field, reached from the request message through singular messages, that text can be put into."""

    path: tuple[str, ...]
    """Names of the fields on the way, in proto spelling, the field's own last."""
    parents: tuple[str, ...]
    put: SetText
    """Puts one text into the message that holds the field."""
    repeated: bool
    oneofs: tuple[str, ...]
    """The oneofs that this field and its parents are members of, by their full paths, with the member taken."""

    def put_into(self, message: Any, text: str) -> None:
        """Puts the text in, starting from the request message."""
        for name in self.parents:
            message = getattr(message, name)
        self.put(message, text)


def field_named(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    """By proto name or JSON name."""
    found = descriptor.fields_by_name.get(name)
    if found is not None:
        return found
    return next((field for field in descriptor.fields if field.json_name == name), None)


def resolve(root: Descriptor, dotted: str) -> TextField:
    """Raises BadValue when there is no such field or text cannot be put into it. A map wants its key: `m[key]`."""
    dotted, _, map_key = dotted.partition("[") if dotted.endswith("]") else (dotted, "", "")
    names = dotted.split(".")
    if len(names) > MAX_PARTS:
        raise BadValue(f"the field path has more than {MAX_PARTS} parts")
    at: Descriptor = root
    fields: list[FieldDescriptor] = []
    for depth, name in enumerate(names):
        field = field_named(at, name)
        if field is None:
            raise BadValue(f"{at.full_name} has no field {name[:60]!r}")
        fields.append(field)
        if depth < len(names) - 1:
            at = _inner(field)
    return _text_field(fields, map_key[:-1] if map_key else None)


def _inner(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None or field.is_repeated:
        raise BadValue(f"{field.name} is no single message, so that it has no fields to name")
    return field.message_type


def _text_field(fields: list[FieldDescriptor], map_key: str | None) -> TextField:
    path = tuple(field.name for field in fields)
    if map_key is not None:
        path = (*path, f"[{map_key}]")
    return TextField(
        path=path,
        parents=tuple(field.name for field in fields[:-1]),
        put=_setter(fields[-1], map_key),
        repeated=fields[-1].is_repeated and map_key is None,
        oneofs=tuple(
            f"{'.'.join(path[:depth])}:{field.containing_oneof.name}={field.name}"
            for depth, field in enumerate(fields)
            if field.containing_oneof is not None
        ),
    )


def _setter(field: FieldDescriptor, map_key: str | None) -> SetText:
    if is_map(field) or map_key is not None:
        return _map_setter(field, map_key)
    if field.message_type is not None:
        return _message_setter(field.name, field.is_repeated, message_from_text(field))
    convert = scalars.from_text(field)
    return _append(field.name, convert) if field.is_repeated else _assign(field.name, convert)


def message_from_text(field: FieldDescriptor) -> SetText:
    """How text fills the message type of a field: well-known types only."""
    descriptor = field.message_type
    name = descriptor.full_name if descriptor is not None else ""
    if descriptor is not None and name in wellknown.WRAPPERS:
        return _assign("value", scalars.from_text(descriptor.fields_by_name["value"]))
    if name == "google.protobuf.FieldMask":
        return wellknown.fill_mask_text
    if name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
        return wellknown.READERS[name]
    if name in ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"):
        fill = wellknown.READERS[name]
        return lambda message, text: fill(message, parse_json(text.encode()))
    raise BadValue(f"{field.name} is a message of type {name}: name one of its fields, as in {field.name}.field")


def _assign(name: str, convert: scalars.Convert) -> SetText:
    def put(message: Any, text: str) -> None:
        setattr(message, name, convert(text))

    return put


def _append(name: str, convert: scalars.Convert) -> SetText:
    def put(message: Any, text: str) -> None:
        getattr(message, name).append(convert(text))

    return put


def _message_setter(name: str, repeated: bool, fill: SetText) -> SetText:
    def put(message: Any, text: str) -> None:
        inner = getattr(message, name)
        if repeated:
            inner = inner.add()
        else:
            inner.SetInParent()
        fill(inner, text)

    return put


def _map_setter(field: FieldDescriptor, map_key: str | None) -> SetText:
    if not is_map(field) or field.message_type is None:
        raise BadValue(f"{field.name} is no map")
    if map_key is None:
        raise BadValue(f"{field.name} is a map: name the key, as in {field.name}[key]")
    value = field.message_type.fields_by_name["value"]
    if value.message_type is not None:
        raise BadValue(f"{field.name} is a map of messages, which text cannot be put into")
    key = scalars.from_text(field.message_type.fields_by_name["key"])(map_key)
    convert, name = scalars.from_text(value), field.name

    def put(message: Any, text: str) -> None:
        getattr(message, name)[key] = convert(text)

    return put
