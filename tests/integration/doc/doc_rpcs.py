"""Every rpc of automesh.doc.v1, found in its descriptors, and how to call any of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from automesh.core.errors import AutomationError
from automesh.mesh.errors import from_rpc_error
from automesh.options.v1 import access_pb2

AREAS = (
    *("analytics", "attachment", "backup", "branch", "comment", "document", "draft", "editing", "job"),
    *("notification", "review", "search", "site", "space", "template", "transfer", "validation"),
)
LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Rpc:
    """A method of a service."""

    descriptor: MethodDescriptor

    @property
    def name(self) -> str:
        """Unique among all of the doc service."""
        return str(self.descriptor.name)

    @property
    def permission(self) -> str:
        """What a token must hold."""
        return str(self.descriptor.GetOptions().Extensions[access_pb2.access].permission)

    @property
    def streams(self) -> bool:
        """The caller sends several messages."""
        return bool(self.descriptor.client_streaming)

    @property
    def request(self) -> type[Message]:
        """The class of its requests."""
        return GetMessageClass(self.descriptor.input_type)

    async def call(self, channel: grpc.aio.Channel, *messages: Message) -> Sequence[Any]:
        """What it answers, the first three messages of a stream. Raises grpc.aio.AioRpcError."""
        path = f"/{self.descriptor.containing_service.full_name}/{self.name}"
        asked = _one_by_one(messages) if self.streams else messages[0]
        call = self._way(channel)(
            path,
            request_serializer=self.request.SerializeToString,
            response_deserializer=GetMessageClass(self.descriptor.output_type).FromString,
        )(asked, timeout=LIMIT_S)
        if not self.descriptor.server_streaming:
            return [await call]
        answers = []
        async for answer in call:
            answers.append(answer)
            if len(answers) == 3:
                call.cancel()
                break
        return answers

    async def told(self, channel: grpc.aio.Channel, *messages: Message) -> AutomationError | None:
        """The error that it ends with; None: it went well."""
        try:
            await self.call(channel, *messages)
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error)
        return None

    def _way(self, channel: grpc.aio.Channel) -> Callable[..., Any]:
        if self.descriptor.server_streaming:
            return channel.stream_stream if self.streams else channel.unary_stream
        return channel.stream_unary if self.streams else channel.unary_unary


def _services() -> Sequence[ServiceDescriptor]:
    modules = [import_module(f"automesh.doc.v1.{area}_service_pb2") for area in AREAS]
    return [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]


async def _one_by_one(messages: Sequence[Message]) -> AsyncIterator[Message]:
    for message in messages:
        yield message


RPCS: Mapping[str, Rpc] = {method.name: Rpc(method) for service in _services() for method in service.methods}
