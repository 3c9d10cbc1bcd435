"""Channels to the services of the mesh: xDS addresses, mutual TLS, the ids of the request forwarded.

grpc.aio's own client interceptors cost a task a call; wrapping the multicallables costs a function call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from automesh.mesh.acting import SUBJECT, TENANT, acting_metadata
from automesh.mesh.caller import current_caller
from automesh.telemetry.traces import REQUEST_ID, TRACEPARENT

Metadata = Sequence[tuple[str, str | bytes]]

MAX_METADATA_BYTES = 64 * 1024

OPTIONS = [
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),  # errors bring details of up to 45 KB, sent in base64
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
]
UNARY_TIMEOUT_S = 30.0
_WHOSE = frozenset({"authorization", TENANT, SUBJECT})
"""What says already whose call it is."""


def mesh_channel(service: str) -> MeshChannel:
    """A channel to a service by its name. The xDS bootstrap must be installed before the first one."""
    credentials = grpc.xds_channel_credentials()
    return MeshChannel(grpc.aio.secure_channel(f"xds:///{service}", credentials, options=OPTIONS))


class MeshChannel(grpc.aio.Channel):
    """A channel whose calls carry the request id and trace of the rpc being served, and always have a deadline.

    Inside `acting_for` they carry also for whom they are, unless they carry a token.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def unary_unary(self, method: str, *args: Any, **options: Any) -> Any:
        """As grpc.aio.Channel; calls without a timeout get UNARY_TIMEOUT_S."""
        return _Calls(self._channel.unary_unary(method, *args, **options), UNARY_TIMEOUT_S)

    def unary_stream(self, method: str, *args: Any, **options: Any) -> Any:
        """As grpc.aio.Channel; streams live as long as their caller wants."""
        return _Calls(self._channel.unary_stream(method, *args, **options), None)

    def stream_unary(self, method: str, *args: Any, **options: Any) -> Any:
        """As grpc.aio.Channel."""
        return _Calls(self._channel.stream_unary(method, *args, **options), None)

    def stream_stream(self, method: str, *args: Any, **options: Any) -> Any:
        """As grpc.aio.Channel."""
        return _Calls(self._channel.stream_stream(method, *args, **options), None)

    async def close(self, grace: float | None = None) -> None:
        """Closes the connections."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The connectivity now."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns once the connectivity is another."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Returns once calls can be sent."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> MeshChannel:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


class _Calls:
    """A multicallable that adds metadata and a deadline."""

    __slots__ = ("_inner", "_timeout")

    def __init__(self, inner: Any, timeout: float | None) -> None:
        self._inner, self._timeout = inner, timeout

    def __call__(
        self, *request: Any, timeout: float | None = None, metadata: Metadata | None = None, **options: Any
    ) -> Any:
        return self._inner(*request, timeout=timeout or self._timeout, metadata=_with_request(metadata), **options)


def _with_request(metadata: Metadata | None) -> list[tuple[str, str | bytes]]:
    caller = current_caller()
    sent = list(metadata or ())
    present = {key for key, _ in sent}
    if caller.request_id and REQUEST_ID not in present:
        sent.append((REQUEST_ID, caller.request_id))
    if caller.traceparent and TRACEPARENT not in present:
        sent.append((TRACEPARENT, caller.traceparent))
    if present.isdisjoint(_WHOSE):
        sent.extend(acting_metadata())
    return sent
