"""Scopes of the domain as tenants of a transaction."""

from __future__ import annotations

from automesh.storage.postgres import ENGINE
from services.auth.domain.tenant import EveryTenant, Scope


def tenant_of(scope: Scope) -> str:
    """The tenant to open a transaction with."""
    return ENGINE if isinstance(scope, EveryTenant) else scope
