"""Who asks: the person or key behind a token, and where the call came from."""

from __future__ import annotations

from dataclasses import dataclass

from automesh.core.errors import PermissionDenied
from services.auth.domain.roles import TENANT_ANY
from services.auth.domain.tenant import EVERY_TENANT, Scope

PERSON_PREFIX, KEY_PREFIX = "user", "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A signed-in caller."""

    subject: str
    tenant_id: str
    permissions: frozenset[str]

    def may(self, permission: str) -> bool:
        """Whether the token holds the permission."""
        return permission in self.permissions

    @property
    def scope(self) -> Scope:
        """The tenants whose things this caller may reach by id."""
        return EVERY_TENANT if self.may(TENANT_ANY) else self.tenant_id

    @property
    def is_person(self) -> bool:
        """Whether a person signed in, rather than a program with a key."""
        return self.subject.startswith(f"{PERSON_PREFIX}_")

    def require_person(self, what: str) -> None:
        """Raises PermissionDenied for programs."""
        if not self.is_person:
            raise PermissionDenied(f"only a person may {what}: sign in with a password, not with an API key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a call came from, for lockout and the audit log. Each may be empty."""

    source: str = ""
    workload: str = ""
    request_id: str = ""
