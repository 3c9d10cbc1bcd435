"""Whose request it is, from the caller of the rpc."""

from __future__ import annotations

from automesh.mesh.caller import Caller
from services.orchestrator.domain.agents import Owner


def owner_of(caller: Caller) -> Owner:
    """Whose agent calls: without a token it is one of the platform."""
    return Owner(caller.tenant_id, str(caller.workload or ""))
