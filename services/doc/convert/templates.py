"""Messages of TemplateService and the domain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from google.protobuf.struct_pb2 import Value as ValueMessage

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.doc.v1 import template_service_pb2 as pb
from automesh.mesh import times
from services.doc.convert.structs import plain
from services.doc.domain.templates.template import Filled, NewTemplate, Template
from services.doc.domain.templates.variable import Value, Variable, VariableType

_TYPE = {
    VariableType.STRING: pb.VARIABLE_TYPE_STRING,
    VariableType.TEXT: pb.VARIABLE_TYPE_TEXT,
    VariableType.NUMBER: pb.VARIABLE_TYPE_NUMBER,
    VariableType.BOOLEAN: pb.VARIABLE_TYPE_BOOLEAN,
    VariableType.DATE: pb.VARIABLE_TYPE_DATE,
    VariableType.CHOICE: pb.VARIABLE_TYPE_CHOICE,
    VariableType.LIST: pb.VARIABLE_TYPE_LIST,
    VariableType.USER: pb.VARIABLE_TYPE_USER,
}


def template(found: Template, *, whole: bool = True) -> pb.Template:
    """The message of a template; in lists without its body."""
    return pb.Template(
        template_id=found.template_id,
        space=found.space,
        name=found.name,
        description=found.description,
        body=found.body if whole else "",
        path=found.path,
        variables=[_variable(each) for each in found.variables],
        update_time=times.timestamp(found.updated_at),
        etag=found.etag,
    )


def new_template(message: pb.Template) -> NewTemplate:
    """What somebody wants. Raises ValidationError."""
    return NewTemplate(
        space=message.space,
        name=message.name.strip(),
        description=message.description,
        body=message.body,
        path=message.path.strip(),
        variables=tuple(_variable_of(each) for each in message.variables),
    )


def after(request: pb.ListTemplatesRequest) -> tuple[str, str]:
    """Name and id of the last template of the page before."""
    template_id, _, name = (paging.decode_token(request.page_token, filters=request.space) or "").partition(" ")
    return name, template_id


def templates_page(found: Sequence[Template], request: pb.ListTemplatesRequest) -> pb.ListTemplatesResponse:
    """A page by name."""
    token = ""
    if len(found) == paging.page_size(request.page_size):
        token = paging.encode_token(f"{found[-1].template_id} {found[-1].name}", filters=request.space)
    return pb.ListTemplatesResponse(templates=[template(each, whole=False) for each in found], next_page_token=token)


def values(message: Struct) -> dict[str, Any]:
    """As JSON has them."""
    return dict(plain(message, field="values"))


def filled(found: Filled) -> pb.RenderTemplateResponse:
    """The message of a template that was filled in."""
    return pb.RenderTemplateResponse(content=found.content, path=found.path)


def _variable(found: Variable) -> pb.Variable:
    message = pb.Variable(
        name=found.name,
        type=_TYPE[found.type],
        label=found.label,
        help=found.help,
        required=found.required,
        choices=found.choices,
    )
    if found.default is not None:
        json_format.Parse(json.dumps(found.default), message.default)
    return message


def _variable_of(message: pb.Variable) -> Variable:
    types = {number: name for name, number in _TYPE.items()} | {
        pb.VARIABLE_TYPE_UNSPECIFIED: VariableType.STRING,
    }
    if message.type not in types:
        raise ValidationError(
            f"the variable {message.name!r} has an unknown type {message.type}", field="template.variables"
        )
    return Variable(
        name=message.name,
        type=types[message.type],
        label=message.label,
        help=message.help,
        required=message.required,
        default=_default(message.default) if message.HasField("default") else None,
        choices=tuple(message.choices),
    )


def _default(message: ValueMessage) -> Value | None:
    found: Value | None = plain(message, field="template.variables.default")
    return None if found in ("", []) else found
