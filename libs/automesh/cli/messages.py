"""Requests that people write as YAML or JSON: read, and short names of enum values made whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from automesh.cli.api import Json
from automesh.cli.errors import CliError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

MAX_FILE = 1024 * 1024
_UNSPECIFIED = "UNSPECIFIED"


def read_object(file: Path, what: str) -> Json:
    """The object in a YAML or JSON file (JSON is YAML). `what` says for people what it should hold."""
    import yaml  # noqa: PLC0415 - only some commands need it

    # JSON knows no dates: one that is not quoted stays the text it is.
    resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    loader = type("PlainLoader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})
    text = file.read_bytes()
    if len(text) > MAX_FILE:
        raise CliError(f"{file} has {len(text)} bytes; a request has at most {MAX_FILE}")
    try:
        content = yaml.load(text, loader)  # noqa: S506 - a SafeLoader with less
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise CliError(f"{file} is neither YAML nor JSON: {error}") from error
    if not isinstance(content, dict):
        raise CliError(f"{file} must hold {what}")
    return content


def with_whole_names(content: Any, message: Descriptor) -> Any:
    """`mean` becomes `FILL_METHOD_MEAN` wherever the message has an enum; what fits nowhere stays."""
    if not isinstance(content, dict):
        return content
    fields = {name: field for field in message.fields for name in (field.name, field.json_name)}
    return {key: _whole(value, fields[key]) if key in fields else value for key, value in content.items()}


def _whole(value: Any, field: FieldDescriptor) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        return {key: _whole(each, inner) for key, each in value.items()} if isinstance(value, dict) else value
    if isinstance(value, list):
        return [_whole(each, field) for each in value]
    if field.enum_type is not None:
        return _whole_name(value, field.enum_type)
    return with_whole_names(value, field.message_type) if field.message_type is not None else value


def _whole_name(value: Any, enum: EnumDescriptor) -> Any:
    if not isinstance(value, str) or value in enum.values_by_name:
        return value
    prefix = enum.values_by_number[0].name.removesuffix(_UNSPECIFIED)
    whole = prefix + value.upper().replace("-", "_")
    return whole if whole in enum.values_by_name else value
