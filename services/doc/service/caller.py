"""Whose request it is."""

from __future__ import annotations

from automesh.mesh.caller import current_caller, current_tenant
from services.doc.domain.spaces.access import ADMIN, Person


def current_person() -> Person:
    """The person of the token, or who owns its API key; the one a service acts for is known by id only."""
    caller = current_caller()
    return Person(tenant_id=current_tenant(), user=caller.username or caller.subject, admin=caller.may(ADMIN))
