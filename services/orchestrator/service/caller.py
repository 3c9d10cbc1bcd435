"""Whose request it is, from the caller of the rpc."""

from __future__ import annotations

from automesh.core.errors import PermissionDenied
from automesh.mesh.caller import Caller
from services.orchestrator.domain.agents import Owner


def tenant_of(caller: Caller) -> str:
    """The tenant of the token. Raises PermissionDenied without one: no tasks belong to nobody."""
    if not caller.tenant_id:
        raise PermissionDenied("this needs a token of a tenant: sign in first")
    return caller.tenant_id


def owner_of(caller: Caller) -> Owner:
    """Whose agent calls: without a token it is one of the platform."""
    return Owner(caller.tenant_id, str(caller.workload or ""))
