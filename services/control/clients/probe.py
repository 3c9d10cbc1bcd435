"""Asks services for their health over the mesh: the very path that every caller takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

TIMEOUT_S = 1.0


class GrpcHealthProbe:
    """A `services.control.domain.ports.HealthProbe`."""

    def __init__(self, channel: Callable[[str], grpc.aio.Channel], *, timeout_s: float = TIMEOUT_S) -> None:
        self._channel = channel
        self._timeout_s = timeout_s

    async def serves(self, service: str) -> bool:
        """See HealthProbe.serves."""
        stub: Any = HealthStub(self._channel(service))  # its stub file names no method
        try:
            reply = await stub.Check(HealthCheckRequest(), timeout=self._timeout_s)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == HealthCheckResponse.SERVING)
