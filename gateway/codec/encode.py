"""protobuf -> JSON, compiled: one closure per field, made once per message type.

Scalars, lists and maps are always there; messages and `optional` fields only when they are set.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from gateway.codec import scalars, wellknown
from gateway.codec.decode import is_well_known
from gateway.codec.wellknown import Show

Put = Callable[[Any, dict[str, Any]], None]


class Encoder:
    """Writers for the messages of one pool; each is compiled when first asked for."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self._writers: dict[str, Show] = {}
        self._lock = threading.RLock()

    def writer(self, descriptor: Descriptor) -> Show:
        """A function that gives the JSON value of a message of this type."""
        name = descriptor.full_name
        with self._lock:
            if name not in self._writers:
                self._writers[name] = self._later(name)  # before it is compiled: types may hold themselves
                self._writers[name] = self._compile(descriptor)
            return self._writers[name]

    def field(self, field: FieldDescriptor) -> Show:
        """A function that takes the message which holds the field and gives the field's JSON value, set or not."""
        name, show = field.name, self._value(field)
        if show is None:
            return lambda message: getattr(message, name)
        return lambda message: show(getattr(message, name))

    def _later(self, name: str) -> Show:
        def show(message: Any) -> Any:
            with self._lock:  # until it is compiled; big responses are written in threads
                found = self._writers[name]
            return found(message)

        return show

    def _compile(self, descriptor: Descriptor) -> Show:
        name = descriptor.full_name
        if name in wellknown.WRITERS:
            return wellknown.WRITERS[name]
        if name in wellknown.WRAPPERS:
            return self.field(descriptor.fields_by_name["value"])
        if name == wellknown.ANY:
            return self.show_any
        puts = [self._put(field) for field in descriptor.fields]

        def show(message: Any) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for put in puts:
                put(message, out)
            return out

        return show

    def _put(self, field: FieldDescriptor) -> Put:
        name, key, show = field.name, field.json_name, self._value(field)
        if not field.has_presence:
            return _put_always(name, key, show)
        return _put_if_set(name, key, show)

    def _value(self, field: FieldDescriptor) -> Show | None:
        """From what getattr gives to JSON; None where they are the same."""
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"])
        show = self.writer(field.message_type) if field.message_type is not None else scalars.to_json(field)
        if not field.is_repeated:
            return show
        if show is None:
            return list
        return lambda values: [show(value) for value in values]

    def _map(self, key: FieldDescriptor, value: FieldDescriptor) -> Show:
        show = self._value(value)
        to_key: Callable[[Any], str] = _bool_key if key.type == FieldDescriptor.TYPE_BOOL else str
        if show is None:
            return lambda items: {to_key(each): items[each] for each in items}
        return lambda items: {to_key(each): show(items[each]) for each in items}

    def show_any(self, message: Any) -> dict[str, Any]:
        """google.protobuf.Any; a type that is not known here, or bytes that are not of it, stay as base64."""
        if not message.type_url and not message.value:
            return {}
        try:
            descriptor = self._pool.FindMessageTypeByName(message.type_url.rpartition("/")[2])
            inner = message_factory.GetMessageClass(descriptor).FromString(message.value)
        except (KeyError, DecodeError):
            return {"@type": message.type_url, "value": base64.b64encode(message.value).decode("ascii")}
        shown = self.writer(descriptor)(inner)
        if is_well_known(descriptor.full_name):
            return {"@type": message.type_url, "value": shown}
        return {"@type": message.type_url, **shown}


def _put_always(name: str, key: str, show: Show | None) -> Put:
    if show is None:

        def put(message: Any, out: dict[str, Any]) -> None:
            out[key] = getattr(message, name)

    else:

        def put(message: Any, out: dict[str, Any]) -> None:
            out[key] = show(getattr(message, name))

    return put


def _put_if_set(name: str, key: str, show: Show | None) -> Put:
    def put(message: Any, out: dict[str, Any]) -> None:
        if message.HasField(name):
            value = getattr(message, name)
            out[key] = value if show is None else show(value)

    return put


def _bool_key(key: Any) -> str:
    return "true" if key else "false"
