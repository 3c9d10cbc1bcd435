"""Who may call what: a table compiled once from the access rules in the protos. Deny by default."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from automesh.core.errors import AutomationError, PermissionDenied, Unauthenticated
from automesh.mesh.caller import Caller
from automesh.options.v1 import access_pb2

ANY_SERVICE = "*"
ANY_TENANT = "tenant.any"
AGENT = "agent"


class UnruledMethod(AutomationError):
    """A method says nothing about who may call it; the server must not start."""

    reason = "UNRULED_METHOD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The access rule of one method, ready to be asked."""

    method: str
    permission: str = ""
    callers: frozenset[str] = frozenset()
    signed_in: bool = False
    anonymous: bool = False
    tenant_field: tuple[str, ...] = ()
    audited: bool = False

    def check(self, caller: Caller) -> None:
        """Raises Unauthenticated or PermissionDenied unless one way in is open to the caller."""
        if self.anonymous or (self.permission and self.permission in caller.permissions):
            return
        service = caller.service
        if service and (service in self.callers or ANY_SERVICE in self.callers):
            return
        if caller.signed_in:
            if self.signed_in:
                return
            raise self._denied(caller)
        if self.permission or self.signed_in:
            raise Unauthenticated(
                "sign in first: this call needs a token in the authorization header", method=self.method
            )
        raise PermissionDenied(f"{service or 'this client'} may not call {self.method}", method=self.method)

    def lets_act(self, caller: Caller) -> bool:
        """Whether the caller may say for whom it calls: a service that the rule names, and without a token.

        Agents never may: they run what people send them, and the lease they show says whose work it is.
        """
        service = caller.service
        return bool(service) and service in self.callers - {AGENT, ANY_SERVICE} and not caller.subject

    def check_tenant(self, caller: Caller, request: Any) -> None:
        """Refuses a request that names a tenant other than the caller's own."""
        if not self.tenant_field:
            return
        value = request
        for name in self.tenant_field:
            value = getattr(value, name)
        if value and value != caller.tenant_id and not caller.may(ANY_TENANT):
            raise PermissionDenied(f"tenant {value} is not yours", method=self.method, tenantId=value)

    def _denied(self, caller: Caller) -> PermissionDenied:
        if not self.permission:
            return PermissionDenied(f"{self.method} is for services only", method=self.method)
        return PermissionDenied(
            f"{caller.name or caller.subject} lacks the permission {self.permission}: "
            "ask an admin for a role that has it",
            method=self.method,
            permission=self.permission,
        )


_INFRASTRUCTURE = {
    "grpc.health.v1.Health": "a health check reveals nothing but the state",
    "grpc.reflection.v1.ServerReflection": "the protos are public",
    "grpc.reflection.v1alpha.ServerReflection": "the protos are public",
    "envoy.service.discovery.v3.AggregatedDiscoveryService": "every process of the mesh needs the mesh's addresses",
}
"""Third-party services that carry no rule of ours: open to whoever holds a certificate of the mesh, and why."""


class AccessTable:
    """method path ("/package.Service/Method") -> Rule."""

    def __init__(self, services: Iterable[ServiceDescriptor]) -> None:
        methods = [method for service in services for method in service.methods]
        self._rules = {path(method): _rule(method) for method in methods}

    def rule(self, method: str) -> Rule:
        """The rule of a method path. Raises PermissionDenied for one that has none."""
        rule = self._rules.get(method) or _infrastructure(method)
        if rule is None:
            raise PermissionDenied(f"{method} has no access rule", method=method)
        return rule


def path(method: MethodDescriptor) -> str:
    """The path by which gRPC calls a method."""
    return f"/{method.containing_service.full_name}/{method.name}"


def _rule(method: MethodDescriptor) -> Rule:
    options = method.GetOptions()
    access = options.Extensions[access_pb2.access]
    if not (access.permission or access.callers or access.signed_in or access.anonymous):
        raise UnruledMethod(
            f"{method.full_name} has no access rule: give it option (automesh.options.v1.access), "
            "with a permission, callers, signed_in or anonymous",
            method=method.full_name,
        )
    return Rule(
        method=path(method)[1:],
        permission=access.permission,
        callers=frozenset(access.callers),
        signed_in=access.signed_in,
        anonymous=access.anonymous,
        tenant_field=tuple(access.tenant_field.split(".")) if access.tenant_field else (),
        audited=not access.unaudited and options.idempotency_level != MethodOptions.NO_SIDE_EFFECTS,
    )


def _infrastructure(method: str) -> Rule | None:
    service = method[1:].rpartition("/")[0]
    return Rule(method=method[1:], anonymous=True) if service in _INFRASTRUCTURE else None
