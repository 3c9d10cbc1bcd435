"""An rpc under one HTTP rule, compiled: how its requests are made and its responses shown."""

from __future__ import annotations

from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from gateway.binding import BadBinding, RequestBinder
from gateway.binding.request import HTTP_BODY
from gateway.codec import MessageCodec
from gateway.conditional import expected_field, tag_reader
from gateway.descriptors import HttpRule, Rpc
from gateway.metrics import MethodMetrics
from gateway.routing import Template, parse_template

JSON = "application/json"


class Endpoint:
    """Everything that a request of this route needs, made once."""

    def __init__(
        self,
        codec: MessageCodec,
        rpc: Rpc,
        rule: HttpRule,
        *,
        metrics: MethodMetrics | None = None,
        ignore_unknown_query: bool = False,
    ) -> None:
        self.rpc, self.rule = rpc, rule
        self.template: Template = parse_template(rule.template)
        self.binder = RequestBinder(codec, rpc, rule, self.template, ignore_unknown_query=ignore_unknown_query)
        self.metrics = metrics or MethodMetrics(rpc.full_name)
        self._class: Any = message_factory.GetMessageClass(rpc.response)
        shown = self._shown()
        self.raw_response = shown is not None and shown.full_name == HTTP_BODY
        self.streams = rpc.client_streaming or rpc.server_streaming
        reads, writes = rule.method == "GET" and not self.streams, rule.method in ("PUT", "DELETE")
        self.etag = tag_reader(rpc.response, rule.response_body) if reads else None
        """Takes the ETag out of a response; None for most endpoints."""
        self.expected = expected_field(rpc.request, rule.body) if writes and not rpc.client_streaming else ()
        """The field of the request that If-Match fills; empty for most endpoints."""
        self._write = codec.writer(rpc.response, rule.response_body)
        cursor = rpc.response.fields_by_name.get("cursor")
        self._has_cursor = cursor is not None and cursor.type == cursor.TYPE_STRING and not cursor.is_repeated

    def response(self, payload: bytes) -> Message:
        """The response message out of its bytes."""
        return self._class.FromString(payload)  # type: ignore[no-any-return] # a class made at run time

    def json(self, message: Message) -> bytes:
        """The response as JSON; with `response_body`, that field of it."""
        return self._write(message)

    def raw(self, message: Any) -> tuple[str, bytes]:
        """Content type and bytes of a google.api.HttpBody response."""
        body = getattr(message, self.rule.response_body) if self.rule.response_body else message
        return body.content_type, body.data

    def cursor(self, message: Any) -> str:
        """Where a stream can go on from, when its messages say so."""
        return message.cursor if self._has_cursor else ""

    def _shown(self) -> Descriptor | None:
        """The message type that the response shows; None for a scalar field, a list or a map."""
        name = self.rule.response_body
        if not name:
            return self.rpc.response
        field = self.rpc.response.fields_by_name.get(name)
        if field is None:
            raise BadBinding(self.rpc, f"names the response field {name}, which {self.rpc.response.full_name} lacks")
        return None if field.is_repeated else field.message_type
