"""The client side of the gateway: calls in raw bytes, so that no message is ever made twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import grpc

from automesh.mesh.replies import Ending
from gateway.descriptors import Rpc

Metadata = Sequence[tuple[str, str | bytes]]


class Call(Protocol):
    """A call in progress. Errors are grpc.aio.AioRpcError, from `reply` or `read`."""

    async def reply(self) -> bytes:
        """The one response of a method that does not stream them."""
        ...

    async def read(self) -> bytes | None:
        """The next response of a method that streams them; None at the end."""
        ...

    async def write(self, payload: bytes) -> None:
        """Sends one more request of a method that streams them."""
        ...

    async def done_writing(self) -> None:
        """No request will follow."""
        ...

    async def headers(self) -> Metadata:
        """Initial metadata of the server."""
        ...

    def cancel(self) -> None:
        """Ends the call; the server is told."""
        ...


class Upstream(Protocol):
    """How the gateway calls services."""

    def call(self, rpc: Rpc, payload: bytes | None, metadata: Metadata, timeout_s: float) -> Call:
        """Starts a call. `payload` is the request; None for methods that stream requests."""
        ...


class GrpcUpstream:
    """An Upstream over grpc.aio channels, one for each service."""

    def __init__(self, channel: Callable[[str], grpc.aio.Channel]) -> None:
        self._channel = channel
        self._callables: dict[str, Any] = {}

    def call(self, rpc: Rpc, payload: bytes | None, metadata: Metadata, timeout_s: float) -> Call:
        callable_ = self._callables.get(rpc.path)
        if callable_ is None:
            callable_ = self._callables[rpc.path] = self._make(rpc)
        arguments = () if rpc.client_streaming else (payload,)
        call = callable_(*arguments, metadata=metadata, timeout=timeout_s)
        return GrpcCall(call, writes=rpc.client_streaming)

    def _make(self, rpc: Rpc) -> Any:
        channel = self._channel(rpc.service)
        if rpc.client_streaming:
            return channel.stream_stream(rpc.path) if rpc.server_streaming else channel.stream_unary(rpc.path)
        return channel.unary_stream(rpc.path) if rpc.server_streaming else channel.unary_unary(rpc.path)


class GrpcCall:
    """A Call of grpc.aio."""

    def __init__(self, call: Any, *, writes: bool) -> None:
        self._call = call
        self._ending = Ending(call) if writes else None

    async def reply(self) -> bytes:
        try:
            return await self._call  # type: ignore[no-any-return] # raw bytes: no deserializer
        except grpc.aio.AioRpcError as error:
            raise await self._true(error) from None

    async def read(self) -> bytes | None:
        try:
            payload = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise await self._true(error) from None
        return None if payload is grpc.aio.EOF else payload

    async def write(self, payload: bytes) -> None:
        await self._call.write(payload)

    async def done_writing(self) -> None:
        await self._call.done_writing()

    async def headers(self) -> Metadata:
        return tuple(await self._call.initial_metadata() or ())

    def cancel(self) -> None:
        self._call.cancel()

    async def _true(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        return error if self._ending is None else await self._ending.true(error)
