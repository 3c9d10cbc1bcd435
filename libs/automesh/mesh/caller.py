"""Who is calling: the workload (its certificate) and the person or key (the token), for the time of one call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass

from automesh.core.errors import PermissionDenied
from automesh.mesh.identity import SpiffeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Both identities of a call. Without a token `subject` and `tenant_id` are empty and no permission is held.

    When a service acts for somebody (`acting`), both name that person and still no permission is held.
    """

    workload: SpiffeId | None = None
    subject: str = ""
    name: str = ""
    username: str = ""
    """Of the person who signed in, or who owns the API key; empty when a service acts for somebody."""
    tenant_id: str = ""
    roles: tuple[str, ...] = ()
    permissions: frozenset[str] = frozenset()
    request_id: str = ""
    traceparent: str = ""
    peer: str = ""
    acting: bool = False

    @property
    def signed_in(self) -> bool:
        """Whether a valid token came with the call."""
        return bool(self.subject) and not self.acting

    @property
    def service(self) -> str:
        """The calling service; empty for a client certificate."""
        return self.workload.service if self.workload else ""

    def may(self, permission: str) -> bool:
        """Whether the token holds the permission."""
        return permission in self.permissions


NOBODY = Caller()
_current: ContextVar[Caller] = ContextVar("automesh_caller", default=NOBODY)


def current_caller() -> Caller:
    """The caller of the rpc being served; NOBODY outside of one."""
    return _current.get()


def current_tenant() -> str:
    """The tenant of the token, or the one a service acts for. Raises PermissionDenied: nothing belongs to nobody."""
    tenant_id = _current.get().tenant_id
    if not tenant_id:
        raise PermissionDenied("this needs a token of a tenant: sign in first")
    return tenant_id


def enter(caller: Caller) -> Token[Caller]:
    """Makes `caller` the current one until `leave`."""
    return _current.set(caller)


def leave(token: Token[Caller]) -> None:
    """Undoes `enter`."""
    _current.reset(token)


@contextmanager
def caller_is(caller: Caller) -> Iterator[Caller]:
    """For tests and for work on somebody's behalf: `with caller_is(Caller(subject=...)):`."""
    token = enter(caller)
    try:
        yield caller
    finally:
        leave(token)
