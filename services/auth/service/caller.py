"""The caller of the rpc being served, in the domain's words."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.mesh.caller import Caller, current_caller
from services.auth.domain.actor import Actor, Origin

FORWARDED_FOR = "x-forwarded-for"
GATEWAY = "gateway"


def actor() -> Actor:
    """The person or key that signed in."""
    caller = current_caller()
    return Actor(subject=caller.subject, tenant_id=caller.tenant_id, permissions=caller.permissions)


def origin(context: grpc.aio.ServicerContext[Any, Any]) -> Origin:
    """Where the call came from."""
    caller = current_caller()
    return Origin(source=_source(caller, context), workload=str(caller.workload or ""), request_id=caller.request_id)


def _source(caller: Caller, context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Who is slowed down for guessing: behind the gateway the client it names, else the process that calls.

    Empty, so not counted, when the gateway names no client: slowing down the gateway would shut everybody out.
    """
    if caller.service == GATEWAY:
        metadata = dict(context.invocation_metadata() or ())
        forwarded = str(metadata.get(FORWARDED_FOR, ""))
        return forwarded.rpartition(",")[2].strip()  # the last one is what the gateway itself saw
    return f"{caller.workload} {_host(caller.peer)}"


def _host(peer: str) -> str:
    """The address in "ipv4:127.0.0.1:1234", without the port, which changes with each connection."""
    return peer if peer.startswith("unix:") else peer.rpartition(":")[0]


def peer_certificate(context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """The certificate that the caller showed, PEM; empty without TLS."""
    return next(iter(context.auth_context().get("x509_pem_cert", ())), b"")
