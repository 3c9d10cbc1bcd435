"""The caller of the rpc being served, in the domain's words."""

from __future__ import annotations

import ipaddress
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
    if caller.service != GATEWAY:
        return f"{caller.workload} {_host(caller.peer)}"
    metadata = dict(context.invocation_metadata() or ())
    hops = [hop.strip() for hop in str(metadata.get(FORWARDED_FOR, "")).split(",")]
    # One hop is the client itself. Of several the last is a proxy that the gateway trusts; before it, what it saw.
    return _network(hops[-2] if len(hops) > 1 else hops[0])


def _network(address: str) -> str:
    """The address; of IPv6 the /64, which one customer holds whole."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _host(peer: str) -> str:
    """The address in "ipv4:127.0.0.1:1234", without the port, which changes with each connection."""
    return peer if peer.startswith("unix:") else peer.rpartition(":")[0]


def peer_certificate(context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """The certificate that the caller showed, PEM; empty without TLS."""
    return next(iter(context.auth_context().get("x509_pem_cert", ())), b"")
