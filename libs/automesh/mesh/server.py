"""The gRPC server of a process: mutual TLS that follows the certificate files, health, reflection, the guard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from automesh.core.errors import AutomationError, Kind
from automesh.mesh.identity import BadIdentity, IdentityFiles
from automesh.mesh.interceptor import CallInterceptor

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_METADATA_BYTES = 64 * 1024  # more than any header the gateway lets in, so that our own refusal is heard
MAX_CONCURRENT_CALLS = 10_000


class PortInUse(AutomationError):
    """Somebody else listens there."""

    kind = Kind.PRECONDITION
    reason = "PORT_IN_USE"


@dataclass(frozen=True, slots=True)
class Bound:
    """A servicer, with its descriptor (for the access rules) and its generated `add_..._to_server`."""

    descriptor: ServiceDescriptor
    add: Callable[[Any, grpc.aio.Server], None]
    servicer: Any


class Health:
    """What grpc.health.v1 says of this process."""

    def __init__(self) -> None:
        self.servicer = health.aio.HealthServicer()
        self.serving = False

    async def set(self, serving: bool, services: Iterable[str]) -> None:
        """Sets the whole process ("") and each of its services."""
        self.serving = serving
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", *services):
            await self.servicer.set(service, status)

    async def is_serving(self) -> bool:
        """Whether the process says SERVING. A `HealthCheck` of the registry."""
        return self.serving


def make_server(
    bounds: Iterable[Bound], interceptor: CallInterceptor, health_state: Health, *, max_connection_age_s: float
) -> grpc.aio.Server:
    """A server with everything added but its port."""
    server = grpc.aio.server(
        interceptors=[interceptor],
        maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS,
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.max_connection_age_ms", int(max_connection_age_s * 1000)),
            ("grpc.max_connection_age_grace_ms", int(max_connection_age_s * 1000)),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
    )
    names = []
    for bound in bounds:
        bound.add(bound.servicer, server)
        names.append(bound.descriptor.full_name)
    health_pb2_grpc.add_HealthServicer_to_server(health_state.servicer, server)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    return server


def listen(server: grpc.aio.Server, address: str, files: IdentityFiles) -> int:
    """Opens the mutual-TLS port and returns its number. Raises PortInUse."""
    try:
        return server.add_secure_port(address, server_credentials(files))
    except RuntimeError as error:
        raise PortInUse(
            f"cannot listen on {address}: the port is taken or not ours to take. Stop whoever holds it, "
            "or choose another with AUTOMESH_LISTEN_PORT (0 takes any free one)",
            address=address,
        ) from error


def server_credentials(files: IdentityFiles) -> grpc.ServerCredentials:
    """Credentials that read the files anew whenever they were replaced; asked at each handshake."""
    seen = files.generation()

    def load() -> grpc.ServerCertificateConfiguration:
        identity = files.load()
        pair = (identity.key_pem, identity.certificate_pem)
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=identity.bundle_pem)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal seen
        try:
            generation = files.generation()
            if generation == seen:
                return None
            configuration = load()
        except (OSError, BadIdentity):
            return None  # keep what works; the next handshake tries again
        seen = generation
        return configuration

    # None means "as before", which the stubs do not know.
    fetcher: Callable[[], Any] = fetch
    return grpc.dynamic_ssl_server_credentials(load(), fetcher, require_client_authentication=True)
