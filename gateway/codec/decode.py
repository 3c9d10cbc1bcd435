"""JSON -> protobuf, compiled: one closure per field, made once per message type, with no reflection afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from gateway.codec import scalars, wellknown
from gateway.codec.faults import BadValue
from gateway.codec.wellknown import Fill

NULL_VALUE = "google.protobuf.NullValue"
TYPE_URL_PREFIX = "type.googleapis.com/"


@dataclass(frozen=True, slots=True)
class FieldReader:
    """How one field is filled from JSON: `set(message, value)`."""

    name: str
    set: Callable[[Any, Any], None]
    oneof: str
    takes_null: bool


class Decoder:
    """Readers for the messages of one pool; each is compiled when first asked for."""

    def __init__(self, pool: DescriptorPool, *, ignore_unknown: bool = False) -> None:
        self._pool = pool
        self._ignore_unknown = ignore_unknown
        self._readers: dict[str, Fill] = {}
        self._lock = threading.RLock()

    def reader(self, descriptor: Descriptor) -> Fill:
        """A function that fills a message of this type from a JSON value; it raises BadValue."""
        name = descriptor.full_name
        with self._lock:
            if name not in self._readers:
                self._readers[name] = self._later(name)  # before it is compiled: types may hold themselves
                self._readers[name] = self._compile(descriptor)
            return self._readers[name]

    def field(self, field: FieldDescriptor) -> FieldReader:
        """The reader of one field, for bodies that are a field."""
        return FieldReader(
            name=field.name,
            set=self._setter(field),
            oneof=field.containing_oneof.name if field.containing_oneof is not None else "",
            takes_null=not field.is_repeated and _takes_null(field),
        )

    def _later(self, name: str) -> Fill:
        def fill(message: Any, value: Any) -> None:
            with self._lock:  # until it is compiled; big requests are read in threads
                found = self._readers[name]
            found(message, value)

        return fill

    def _compile(self, descriptor: Descriptor) -> Fill:
        name = descriptor.full_name
        if name in wellknown.READERS:
            return wellknown.READERS[name]
        if name in wellknown.WRAPPERS:
            return _wrapper(descriptor)
        if name == wellknown.ANY:
            return self._fill_any
        fields: dict[str, FieldReader] = {}
        for field in descriptor.fields:
            fields[field.json_name] = fields[field.name] = self.field(field)
        return _object(name, fields, self._ignore_unknown)

    def _setter(self, field: FieldDescriptor) -> Callable[[Any, Any], None]:
        if is_map(field):
            return self._map_setter(field.name, _message_type(field))
        if field.message_type is not None:
            fill = self.reader(field.message_type)
            return _message_list_setter(field.name, fill) if field.is_repeated else _message_setter(field.name, fill)
        convert = scalars.from_json(field)
        if _takes_null(field):
            convert = _null_or(convert)
        return _list_setter(field.name, convert) if field.is_repeated else _scalar_setter(field.name, convert)

    def _map_setter(self, name: str, entry: Descriptor) -> Callable[[Any, Any], None]:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        to_key = scalars.from_text(key)
        if value.message_type is not None:
            return _message_map_setter(name, to_key, self.reader(value.message_type))
        convert = scalars.from_json(value)
        return _map_setter(name, to_key, _null_or(convert) if _takes_null(value) else convert)

    def _fill_any(self, message: Any, value: Any) -> None:
        if type(value) is not dict:
            raise BadValue("expected an object")
        if not value:
            return
        url = value.get("@type")
        if type(url) is not str or "/" not in url:
            raise BadValue(f'expected a type URL as in "{TYPE_URL_PREFIX}google.protobuf.Duration"', "@type")
        try:
            descriptor = self._pool.FindMessageTypeByName(url.rpartition("/")[2])
        except KeyError:
            raise BadValue("no such message type is known here", "@type") from None
        inner = message_factory.GetMessageClass(descriptor)()
        self.reader(descriptor)(inner, _any_content(descriptor, value))
        message.type_url = url
        message.value = inner.SerializeToString(deterministic=True)


def _any_content(descriptor: Descriptor, value: dict[str, Any]) -> Any:
    rest = {key: each for key, each in value.items() if key != "@type"}
    if not is_well_known(descriptor.full_name):
        return rest
    if set(rest) != {"value"}:
        raise BadValue('a well-known type inside Any stands under "value", with nothing beside it', "value")
    return rest["value"]


def is_well_known(name: str) -> bool:
    """Whether the type has a JSON form of its own, and so stands under "value" in an Any."""
    return name in wellknown.READERS or name in wellknown.WRAPPERS or name == wellknown.ANY


def _object(type_name: str, fields: dict[str, FieldReader], ignore_unknown: bool) -> Fill:
    def fill(message: Any, value: Any) -> None:
        if type(value) is not dict:
            raise BadValue("expected an object")
        seen: set[str] = set()
        for key, each in value.items():
            reader = fields.get(key)
            if reader is None:
                if ignore_unknown:
                    continue
                raise BadValue(f"{type_name} has no such field", key)
            _note(reader, key, each, seen)
            if each is None and not reader.takes_null:
                continue  # null means unset
            try:
                reader.set(message, each)
            except BadValue as fault:
                raise fault.under(key) from None

    return fill


def _note(reader: FieldReader, key: str, value: Any, seen: set[str]) -> None:
    """Refuses a field given under both its names, and two members of a oneof."""
    if reader.name in seen:
        raise BadValue("the field is given twice, under both its names", key)
    seen.add(reader.name)
    if reader.oneof and (value is not None or reader.takes_null):
        oneof = f"oneof {reader.oneof}"
        if oneof in seen:
            raise BadValue(f"another member of the oneof {reader.oneof} is given as well", key)
        seen.add(oneof)


def _scalar_setter(name: str, convert: scalars.Convert) -> Fill:
    def set_scalar(message: Any, value: Any) -> None:
        setattr(message, name, convert(value))

    return set_scalar


def _message_setter(name: str, fill: Fill) -> Fill:
    def set_message(message: Any, value: Any) -> None:
        inner = getattr(message, name)
        inner.SetInParent()
        fill(inner, value)

    return set_message


def _list_setter(name: str, convert: scalars.Convert) -> Fill:
    def set_list(message: Any, value: Any) -> None:
        append = getattr(message, name).append
        for at, each in enumerate(_a_list(value)):
            try:
                append(convert(each))
            except BadValue as fault:
                raise fault.under(f"[{at}]") from None

    return set_list


def _message_list_setter(name: str, fill: Fill) -> Fill:
    def set_list(message: Any, value: Any) -> None:
        add = getattr(message, name).add
        for at, each in enumerate(_a_list(value)):
            try:
                fill(add(), each)
            except BadValue as fault:
                raise fault.under(f"[{at}]") from None

    return set_list


def _map_setter(name: str, to_key: scalars.Convert, convert: scalars.Convert) -> Fill:
    def set_map(message: Any, value: Any) -> None:
        target = getattr(message, name)
        for key, each in _an_object(value).items():
            try:
                _put_once(target, to_key(key))
                target[to_key(key)] = convert(each)
            except BadValue as fault:
                raise fault.under(key) from None

    return set_map


def _message_map_setter(name: str, to_key: scalars.Convert, fill: Fill) -> Fill:
    def set_map(message: Any, value: Any) -> None:
        target = getattr(message, name)
        for key, each in _an_object(value).items():
            try:
                _put_once(target, to_key(key))
                fill(target[to_key(key)], each)
            except BadValue as fault:
                raise fault.under(key) from None

    return set_map


def _put_once(target: Any, key: Any) -> None:
    if key in target:  # "1" and "01"
        raise BadValue("the key is given twice")


def _wrapper(descriptor: Descriptor) -> Fill:
    return _scalar_setter("value", scalars.from_json(descriptor.fields_by_name["value"]))


def _null_or(convert: scalars.Convert) -> scalars.Convert:
    return lambda value: 0 if value is None else convert(value)


def _takes_null(field: FieldDescriptor) -> bool:
    """google.protobuf.Value and NullValue have a use for null; everywhere else it means unset."""
    if field.message_type is not None:
        return bool(field.message_type.full_name == wellknown.VALUE)
    return field.enum_type is not None and bool(field.enum_type.full_name == NULL_VALUE)


def _message_type(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None:
        raise TypeError(f"{field.full_name} is no message")
    return field.message_type


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a map; to protobuf it is a list of entries."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _a_list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise BadValue("expected a list")
    return value


def _an_object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise BadValue("expected an object")
    return value
