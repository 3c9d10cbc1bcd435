"""The annotated rpcs of a set of protobuf descriptors, in a pool of their own."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from automesh.core.errors import AutomationError
from automesh.options.v1 import access_pb2

SERVICE_PART = 1  # automesh.orchestrator.v1 is served by xds:///orchestrator
_METHOD_FIELD, _SERVICE_FIELD, _MESSAGE_FIELD, _ENUM_FIELD = 2, 6, 4, 5  # field numbers in descriptor.proto
_MESSAGE_MEMBERS = {2: "field", 3: "nested_type", 4: "enum_type"}


class BadDescriptors(AutomationError):
    """A descriptor set that cannot be used."""

    reason = "BAD_DESCRIPTORS"


@dataclass(frozen=True, slots=True)
class HttpRule:
    """One binding of google.api.http: `additional_bindings` are rules of their own."""

    method: str
    template: str
    body: str
    response_body: str


@dataclass(frozen=True, slots=True)
class Rpc:
    """An rpc that HTTP can reach."""

    service: str
    """Name in the mesh: the second part of the proto package."""
    full_name: str
    path: str
    request: Descriptor
    response: Descriptor
    client_streaming: bool
    server_streaming: bool
    anonymous: bool
    """Nobody needs to sign in."""
    permission: str
    """What a token must hold; empty when the access rule names none."""
    rules: tuple[HttpRule, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """What the descriptors say: the pool, the annotated rpcs, and the comments by full name of what they describe."""

    pool: DescriptorPool
    rpcs: tuple[Rpc, ...] = field(repr=False)
    comments: Mapping[str, str] = field(default_factory=dict, repr=False)

    def message_class(self, descriptor: Descriptor) -> type[Message]:
        """The Python class for a message of the pool."""
        return message_factory.GetMessageClass(descriptor)


def own_descriptors() -> bytes:
    """The descriptor set of automesh's own protos, as it was built with them."""
    return importlib.resources.files("automesh").joinpath("descriptors.binpb").read_bytes()


def load_catalog(*sets: bytes) -> Catalog:
    """Reads serialised FileDescriptorSets (with imports). Raises BadDescriptors with the file at fault."""
    pool = DescriptorPool()
    files = _merged(sets)
    for file in [*files, *_details_files({file.name for file in files})]:
        try:
            pool.Add(file)
        except TypeError as error:
            raise BadDescriptors(
                f"{file.name} cannot be loaded: {error}. Build the set with --include_imports.", file=file.name
            ) from None
    rpcs = tuple(rpc for file in files for rpc in _rpcs(pool, file))
    return Catalog(pool, rpcs, {name: text for file in files for name, text in _comments(file)})


def _merged(sets: Sequence[bytes]) -> list[descriptor_pb2.FileDescriptorProto]:
    """Each file once. Two sets may hold the same file, but not two files of the same name."""
    merged: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for data in sets:
        for file in _parsed(data).file:
            have = merged.setdefault(file.name, file)
            if not file.name.startswith("google/") and _bare(have) != _bare(file):
                raise BadDescriptors(f"two descriptor sets have different files named {file.name}", file=file.name)
    return list(merged.values())


def _parsed(data: bytes) -> descriptor_pb2.FileDescriptorSet:
    try:
        return descriptor_pb2.FileDescriptorSet.FromString(data)
    except DecodeError:
        raise BadDescriptors(
            "this is no FileDescriptorSet: make one with protoc --descriptor_set_out=FILE --include_imports"
        ) from None


def _bare(file: descriptor_pb2.FileDescriptorProto) -> bytes:
    bare = descriptor_pb2.FileDescriptorProto()
    bare.CopyFrom(file)
    bare.ClearField("source_code_info")
    return bare.SerializeToString(deterministic=True)


def _details_files(have: set[str]) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    """google.rpc.Status and the usual details, with what they import: errors must be readable in any case."""
    for module in (error_details_pb2, status_pb2):
        for descriptor in [*module.DESCRIPTOR.dependencies, module.DESCRIPTOR]:
            if descriptor.name not in have:
                have.add(descriptor.name)
                yield descriptor_pb2.FileDescriptorProto.FromString(descriptor.serialized_pb)


def _rpcs(pool: DescriptorPool, file: descriptor_pb2.FileDescriptorProto) -> Iterator[Rpc]:
    parts = file.package.split(".")
    backend = parts[SERVICE_PART] if len(parts) > SERVICE_PART else parts[0]
    for service in file.service:
        name = f"{file.package}.{service.name}" if file.package else service.name
        for method in service.method:
            rules = tuple(_rules(method.options.Extensions[annotations_pb2.http]))
            if rules:
                yield Rpc(
                    service=backend,
                    full_name=f"{name}.{method.name}",
                    path=f"/{name}/{method.name}",
                    request=pool.FindMessageTypeByName(method.input_type[1:]),
                    response=pool.FindMessageTypeByName(method.output_type[1:]),
                    client_streaming=method.client_streaming,
                    server_streaming=method.server_streaming,
                    anonymous=method.options.Extensions[access_pb2.access].anonymous,
                    permission=method.options.Extensions[access_pb2.access].permission,
                    rules=rules,
                )


def _rules(rule: http_pb2.HttpRule) -> Iterator[HttpRule]:
    pattern = rule.WhichOneof("pattern")
    if pattern is None:
        return
    if pattern == "custom":
        method, template = rule.custom.kind.upper(), rule.custom.path
    else:
        method, template = pattern.upper(), getattr(rule, pattern)
    yield HttpRule(method, template, rule.body, rule.response_body)
    for more in rule.additional_bindings:
        yield from _rules(more)


def _comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        text = location.leading_comments.strip()
        name = _name_at(file, list(location.path)) if text else ""
        if name:
            yield name, " ".join(line.strip() for line in text.splitlines())


def _name_at(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str:
    """Full name of what a source location describes; empty for what nobody asks about (options, reserved ranges)."""
    members = {_MESSAGE_FIELD: "message_type", _ENUM_FIELD: "enum_type", _SERVICE_FIELD: "service"}
    at: Any = file  # then messages, enums and services inside it: all have a name
    names = [file.package] if file.package else []
    while len(path) > 1:
        member = members.get(path[0])
        if member is None:
            return ""
        at = getattr(at, member)[path[1]]
        names.append(at.name)
        members = _members_of(at)
        path = path[2:]
    return "" if path else ".".join(names)


def _members_of(at: Message) -> dict[int, str]:
    if isinstance(at, descriptor_pb2.ServiceDescriptorProto):
        return {_METHOD_FIELD: "method"}
    if isinstance(at, descriptor_pb2.EnumDescriptorProto):
        return {_METHOD_FIELD: "value"}
    return _MESSAGE_MEMBERS if isinstance(at, descriptor_pb2.DescriptorProto) else {}
