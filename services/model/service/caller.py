"""Whose request it is, from the caller of the rpc."""

from __future__ import annotations

from automesh.core.errors import PermissionDenied
from automesh.mesh.caller import Caller


def tenant_of(caller: Caller) -> str:
    """The tenant of the token. Raises PermissionDenied without one: no models belong to nobody."""
    if not caller.tenant_id:
        raise PermissionDenied("this needs a token of a tenant: sign in first")
    return caller.tenant_id
