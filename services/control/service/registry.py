"""RegistryService over gRPC: a stream that holds a registration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc

from automesh.control.v1 import registry_service_pb2 as pb
from automesh.control.v1 import registry_service_pb2_grpc as rpc
from automesh.core.errors import PermissionDenied, ValidationError
from automesh.mesh.caller import current_caller
from automesh.mesh.identity import SpiffeId
from services.control.convert import instance_from_proto
from services.control.domain.instance import Instance
from services.control.domain.leases import Lease
from services.control.domain.ports import Registrations

Context = grpc.aio.ServicerContext[Any, Any]

SETTLE_S = 0.05
"""A broken connection looks like a half-closed one until, a moment later, it cancels the call."""


class RegistryServicer(rpc.RegistryServiceServicer):
    """Registers the caller as what its certificate says it is."""

    def __init__(self, registrations: Registrations, *, stopping: asyncio.Event) -> None:
        self._registrations = registrations
        self._stopping = stopping

    async def HoldRegistration(
        self, request_iterator: AsyncIterator[pb.HoldRegistrationRequest], context: Context
    ) -> AsyncGenerator[pb.HoldRegistrationResponse]:
        """A half-closed stream is a goodbye. Any other end may be an accident, so the process has time to come back."""
        workload = current_caller().workload
        lease: Lease | None = None
        goodbye = False
        try:
            async for request in self._until_silent(request_iterator):
                lease = self._registrations.keep(lease, _instance(request, workload, lease))
                yield pb.HoldRegistrationResponse(ttl_s=self._registrations.ttl_s)
            await asyncio.sleep(SETTLE_S)
            goodbye = not self._stopping.is_set()
        finally:
            if lease is not None:
                (self._registrations.release if goodbye else self._registrations.linger)(lease)

    async def _until_silent(
        self, requests: AsyncIterator[pb.HoldRegistrationRequest]
    ) -> AsyncGenerator[pb.HoldRegistrationRequest]:
        """Ends with the client, when control stops, and when nothing came for a ttl."""
        stopping = asyncio.create_task(self._stopping.wait())
        reading: asyncio.Future[pb.HoldRegistrationRequest] | None = None
        try:
            while True:
                reading = asyncio.ensure_future(anext(requests))
                reading.add_done_callback(_seen)
                await asyncio.wait(
                    {reading, stopping}, timeout=self._registrations.ttl_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not reading.done() or isinstance(reading.exception(), StopAsyncIteration):
                    return
                yield reading.result()
        finally:
            stopping.cancel()
            if reading is not None:
                reading.cancel()


def _seen(reading: asyncio.Future[Any]) -> None:
    """A call that is cancelled leaves a read behind whose error nobody will ask for."""
    if not reading.cancelled():
        reading.exception()


def _instance(request: pb.HoldRegistrationRequest, workload: SpiffeId | None, lease: Lease | None) -> Instance:
    own = workload.service if workload else ""
    if not own or request.service != own:
        raise PermissionDenied(
            f"{workload or 'a caller without a certificate'} may not register a process of {request.service!r}",
            service=request.service,
        )
    if lease is not None and request.instance_id != lease.instance_id:
        raise ValidationError(
            f"this stream registers {lease.instance_id}, it cannot go on with {request.instance_id}",
            field="instance_id",
        )
    return instance_from_proto(request, spiffe_id=str(workload))
