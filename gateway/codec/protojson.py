"""The codec port of the gateway and its implementation: compiled readers and writers, orjson for the text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from gateway.codec.decode import Decoder, FieldReader
from gateway.codec.encode import Encoder
from gateway.codec.text import parse_json
from gateway.codec.wellknown import Fill

Write = Callable[[Message], bytes]


class MessageCodec(Protocol):
    """What the gateway needs of a JSON codec. All functions it gives out are made once, at start."""

    def parse(self, body: bytes) -> Any:
        """The JSON value of a body; raises BadValue."""
        ...

    def reader(self, descriptor: Descriptor) -> Fill:
        """Fills a message from a JSON value; raises BadValue."""
        ...

    def field_reader(self, field: FieldDescriptor) -> FieldReader:
        """Fills one field from a JSON value."""
        ...

    def writer(self, descriptor: Descriptor, response_body: str = "") -> Write:
        """The JSON text of a message, or of its field `response_body`."""
        ...


class ProtoJsonCodec:
    """A MessageCodec for the messages of one pool."""

    def __init__(self, pool: DescriptorPool, *, ignore_unknown: bool = False) -> None:
        self._decoder = Decoder(pool, ignore_unknown=ignore_unknown)
        self._encoder = Encoder(pool)

    def parse(self, body: bytes) -> Any:
        return parse_json(body)

    def reader(self, descriptor: Descriptor) -> Fill:
        return self._decoder.reader(descriptor)

    def field_reader(self, field: FieldDescriptor) -> FieldReader:
        return self._decoder.field(field)

    def writer(self, descriptor: Descriptor, response_body: str = "") -> Write:
        if response_body:
            show = self._encoder.field(descriptor.fields_by_name[response_body])
        else:
            show = self._encoder.writer(descriptor)
        return lambda message: orjson.dumps(show(message))
