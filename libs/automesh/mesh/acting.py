"""Calls that a service makes on its own authority for somebody: `with acting_for(tenant_id, subject):`.

The metadata is honoured only from a service that the method's access rule names, and only without a token: a token says
by itself whose call it is. Everywhere else it is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from automesh.core.errors import PermissionDenied, ValidationError

TENANT, SUBJECT = "automesh-tenant", "automesh-subject"
MAX_LENGTH = 256
"""Characters of a tenant's or a subject's id."""


@dataclass(frozen=True, slots=True)
class Acting:
    """For whom a service acts. An empty subject is nobody in particular: the service looks after its own rows."""

    tenant_id: str
    subject: str = ""


_current: ContextVar[Acting | None] = ContextVar("automesh_acting", default=None)


@contextmanager
def acting_for(tenant_id: str, subject: str = "") -> Iterator[None]:
    """Calls begun inside, on channels of the mesh, are for `subject` of `tenant_id`; ValidationError without a tenant.

    Never put a `yield` of an async generator inside: what its reader calls meanwhile would be for somebody else.
    """
    if not tenant_id:
        raise ValidationError("to act for somebody takes a tenant", field="tenant_id")
    token = _current.set(Acting(tenant_id, subject))
    try:
        yield
    finally:
        _current.reset(token)


def acting_metadata() -> list[tuple[str, str]]:
    """What a call carries for whom it is; nothing outside of `acting_for`."""
    acting = _current.get()
    if acting is None:
        return []
    sent = [(TENANT, acting.tenant_id)]
    return [*sent, (SUBJECT, acting.subject)] if acting.subject else sent


def read_acting(metadata: Mapping[str, str]) -> Acting | None:
    """For whom the calling service says it acts; None when it does not. Raises PermissionDenied for what is no id."""
    tenant_id, subject = metadata.get(TENANT, ""), metadata.get(SUBJECT, "")
    if not tenant_id:
        return None
    if max(len(tenant_id), len(subject)) > MAX_LENGTH:
        raise PermissionDenied(f"a tenant or subject of more than {MAX_LENGTH} characters is none of ours")
    return Acting(tenant_id, subject)
