"""Which rpcs may be sent twice, read from the descriptors that are installed with automesh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, MethodOptions

REQUEST_ID = "request_id"
"""A request that has this field is recognised when it comes again."""


def repeatable_methods() -> tuple[str, ...]:
    """Paths of the rpcs that change nothing, or nothing more when repeated, in order."""
    data = resources.files("automesh").joinpath("descriptors.binpb").read_bytes()
    return tuple(sorted(_repeatable(list(FileDescriptorSet.FromString(data).file))))


def _repeatable(described: Sequence[FileDescriptorProto]) -> Iterator[str]:
    recognised = {
        f".{file.package}.{message.name}"
        for file in described
        for message in file.message_type
        if any(field.name == REQUEST_ID for field in message.field)
    }
    for file in described:
        for service in file.service:
            for method in service.method:
                if _is_repeatable(method, recognised):
                    yield f"/{file.package}.{service.name}/{method.name}"


def _is_repeatable(method: MethodDescriptorProto, recognised: set[str]) -> bool:
    safe = method.options.idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    return not method.client_streaming and (safe or method.input_type in recognised)
