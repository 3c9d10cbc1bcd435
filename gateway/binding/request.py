"""Requests of one method under one HTTP rule. Where several sources name a field: path beats body beats query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from automesh.core.errors import AutomationError
from gateway.binding.fields import TextField, field_named, resolve
from gateway.binding.mask import derived_mask, mask_field
from gateway.binding.query import QueryBinder
from gateway.codec import BadValue, MessageCodec
from gateway.codec.decode import FieldReader
from gateway.codec.text import may_be_deep
from gateway.descriptors import HttpRule, Rpc
from gateway.routing import Template

HTTP_BODY = "google.api.HttpBody"
_SURELY_SHALLOW = 25  # a Struct takes three levels of protobuf for each level of JSON, and 100 is the limit


class BadBinding(AutomationError):
    """A google.api.http rule that does not fit its request or response message."""

    reason = "BAD_HTTP_RULE"

    def __init__(self, rpc: Rpc, why: str) -> None:
        super().__init__(f"the google.api.http rule of {rpc.full_name} {why}", method=rpc.full_name)


class RequestBinder:
    """Makes request messages out of path captures, query and body."""

    def __init__(
        self, codec: MessageCodec, rpc: Rpc, rule: HttpRule, template: Template, *, ignore_unknown_query: bool = False
    ) -> None:
        self._codec, self._rpc, self._rule = codec, rpc, rule
        self._class: Any = message_factory.GetMessageClass(rpc.request)
        self._path = self._path_fields(template)
        self._query = QueryBinder(
            rpc.request,
            from_path=frozenset(field.path for field in self._path.values()),
            body=rule.body,
            ignore_unknown=ignore_unknown_query,
        )
        self._body = self._body_reader()
        self._mask = mask_field(rpc.request) if rule.method == "PATCH" and rule.body not in ("", "*") else None
        self.takes_body = bool(rule.body)
        self.raw_body = self._is_raw()
        self.request_id = _string_field(rpc.request, "request_id")
        self.cursor = _string_field(rpc.request, "cursor")

    def bind(self, captures: Mapping[str, str], query: bytes, body: bytes, content_type: str = "") -> Message:
        """The request message. Raises BadValue with the path of the field at fault."""
        message: Any = self._class()
        if query:
            self._query.fill(message, query)
        if self.takes_body and (body or self.raw_body):
            self._fill_body(message, body, content_type)
        for name, text in captures.items():
            try:
                self._path[name].put_into(message, text)
            except BadValue as fault:
                raise fault.under(name) from None
        if not self.raw_body and may_be_deep(body, _SURELY_SHALLOW):
            self._check_depth(message)
        return message  # type: ignore[no-any-return] # its class is made at run time

    def bind_next(self, body: bytes) -> Message:
        """A further message of a client stream: the body alone."""
        return self.bind({}, b"", body)

    def _fill_body(self, message: Any, body: bytes, content_type: str) -> None:
        if self.raw_body:
            target = message if self._body is None else getattr(message, self._body.name)
            target.content_type, target.data = content_type, body
            return
        value = self._codec.parse(body)
        if self._body is None:
            self._codec.reader(self._rpc.request)(message, value)
            return
        self._fill_field(message, self._body, value)

    def _fill_field(self, message: Any, field: FieldReader, value: Any) -> None:
        if value is None and not field.takes_null:
            raise BadValue(f"the body is {field.name} itself and cannot be null", field.name)
        try:
            if self._mask is not None and not getattr(message, self._mask.name).paths:
                getattr(message, self._mask.name).paths.extend(self._derive(field.name, value))
            field.set(message, value)
        except BadValue as fault:
            raise fault.under(field.name) from None

    def _derive(self, body_field: str, value: Any) -> list[str]:
        descriptor = self._rpc.request.fields_by_name[body_field].message_type
        return derived_mask(descriptor, value) if descriptor is not None else []

    def _check_depth(self, message: Any) -> None:
        """No service could read what nests deeper than protobuf's limit."""
        try:
            self._class.FromString(message.SerializeToString())
        except (DecodeError, ValueError):
            raise BadValue("the JSON is nested too deeply for protobuf, which reads 100 levels") from None

    def _path_fields(self, template: Template) -> dict[str, TextField]:
        fields = {}
        for variable in template.variables:
            try:
                field = resolve(self._rpc.request, variable.field_path)
            except BadValue as fault:
                raise BadBinding(self._rpc, f"captures {variable.field_path}: {fault.description}") from None
            if field.repeated:
                raise BadBinding(self._rpc, f"captures {variable.field_path}, which is repeated")
            fields[variable.field_path] = field
        return fields

    def _body_reader(self) -> FieldReader | None:
        """The reader of the body field; None when the body is the whole message, or there is none."""
        name = self._rule.body
        if name in ("", "*"):
            self._codec.reader(self._rpc.request)  # compiled now rather than in the first request
            return None
        field = self._rpc.request.fields_by_name.get(name)
        if field is None:
            raise BadBinding(self._rpc, f"names the body field {name}, which {self._rpc.request.full_name} lacks")
        return self._codec.field_reader(field)

    def _is_raw(self) -> bool:
        if self._rule.body == "*":
            return bool(self._rpc.request.full_name == HTTP_BODY)
        field = field_named(self._rpc.request, self._rule.body) if self._rule.body else None
        return (
            field is not None
            and not field.is_repeated
            and field.message_type is not None
            and bool(field.message_type.full_name == HTTP_BODY)
        )


def _string_field(descriptor: Descriptor, name: str) -> str:
    field = descriptor.fields_by_name.get(name)
    is_text = field is not None and field.type == field.TYPE_STRING and not field.is_repeated
    return name if is_text else ""
