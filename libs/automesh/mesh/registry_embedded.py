"""Registers with control's own registry: an instance is known while its stream to control is open."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import grpc
import structlog

from automesh.control.v1 import registry_service_pb2 as pb
from automesh.control.v1 import registry_service_pb2_grpc as rpc
from automesh.core.backoff import Backoff
from automesh.core.errors import PermissionDenied, ValidationError
from automesh.mesh.identity import BadIdentity, IdentityFiles
from automesh.mesh.registry import HealthCheck, Instance, stopped_within, while_unchanged

log = structlog.get_logger(__name__)

REPLY_TIMEOUT_S = 5.0
GOODBYE_TIMEOUT_S = 2.0
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.1, 2.0
_CHANNEL_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),  # a new attempt dials anew, with the certificate of today
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
]

Call = Any
"""A grpc.aio.StreamStreamCall of HoldRegistration (generic in stubs only)."""


class EmbeddedRegistry:
    """An `automesh.mesh.registry.Registry` whose other half is services/control."""

    def __init__(self, address: str, identity: IdentityFiles) -> None:
        self._address = address
        self._identity = identity

    async def hold(self, instance: Instance, healthy: HealthCheck) -> None:
        """See Registry.hold. Registers anew whenever control comes back."""
        stop = asyncio.Event()
        # A task of its own: cancelling a read of a grpc.aio stream kills the stream, and the goodbye with it.
        keeping = asyncio.create_task(self._keep(instance, healthy, stop))
        try:
            await asyncio.shield(keeping)
        finally:
            stop.set()
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(keeping, GOODBYE_TIMEOUT_S)

    async def _keep(self, instance: Instance, healthy: HealthCheck, stop: asyncio.Event) -> None:
        backoff = Backoff(first_s=FIRST_BACKOFF_S, most_s=MAX_BACKOFF_S)
        while not stop.is_set():
            try:
                if await self._attach(instance, healthy, stop):
                    backoff.reset()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, BadIdentity, TimeoutError) as error:
                _raise_if_final(error)
                log.warning("registry is away, trying again", address=self._address, error=_words(error))
            await stopped_within(stop, backoff.next_s())

    async def _attach(self, instance: Instance, healthy: HealthCheck, stop: asyncio.Event) -> bool:
        """Holds one stream for as long as it lives. Returns whether control ever answered on it."""
        generation, identity = self._identity.generation(), self._identity.load()
        credentials = grpc.ssl_channel_credentials(
            identity.bundle_pem, private_key=identity.key_pem, certificate_chain=identity.certificate_pem
        )
        async with grpc.aio.secure_channel(self._address, credentials, options=_CHANNEL_OPTIONS) as channel:
            # Seconds; bounds the dialling alone, the stream itself has no end.
            await asyncio.wait_for(channel.channel_ready(), REPLY_TIMEOUT_S)
            call: Call = rpc.RegistryServiceStub(channel).HoldRegistration()
            known = False
            while not stop.is_set() and self._identity.generation() == generation:
                state = await healthy()
                ttl_s = await _say(call, instance, state)
                if ttl_s is None:
                    return known
                if not known:
                    log.info("registered", service=instance.service, instance_id=instance.instance_id)
                known = True
                await while_unchanged(healthy, state, limit_s=ttl_s / 3, stop=stop)
            if stop.is_set():
                await _goodbye(call)
            return known


async def _say(call: Call, instance: Instance, healthy: bool) -> float | None:
    """One message and its answer: the ttl in seconds; None when control ended the stream in good order."""
    async with asyncio.timeout(REPLY_TIMEOUT_S):
        await call.write(_request(instance, healthy))
        reply = await call.read()
    if reply is not grpc.aio.EOF:
        return float(reply.ttl_s)
    if await call.code() is not grpc.StatusCode.OK:
        await call  # raises the error that ended it
    return None


async def _goodbye(call: Call) -> None:
    """Half-closes the stream: control takes the instance out, then ends the stream."""
    async with asyncio.timeout(GOODBYE_TIMEOUT_S):
        await call.done_writing()
        await call.code()


def _request(instance: Instance, healthy: bool) -> pb.HoldRegistrationRequest:
    return pb.HoldRegistrationRequest(
        instance_id=instance.instance_id,
        service=instance.service,
        address=instance.address,
        port=instance.port,
        version=instance.version,
        healthy=healthy,
        metadata=dict(instance.metadata),
    )


def _raise_if_final(error: Exception) -> None:
    """What trying again cannot mend."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return
    if error.code() is grpc.StatusCode.PERMISSION_DENIED:
        raise PermissionDenied(f"the registry refused this process: {error.details()}") from error
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        raise ValidationError(f"the registry refused this registration: {error.details()}") from error


def _words(error: Exception) -> str:
    return error.details() or error.code().name if isinstance(error, grpc.aio.AioRpcError) else repr(error)
