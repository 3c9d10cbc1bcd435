"""What a user is and how one may change. Pure: no I/O, no clock."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime

from automesh.core.errors import AlreadyExists, AutomationError, Kind, NotFound, ValidationError
from services.auth.domain.roles import ADMIN, checked_roles, permissions_of
from services.auth.domain.tenant import checked_tenant

_USERNAME = re.compile(r"[a-z0-9._@-]{1,64}")


class UserNotFound(NotFound):
    """No such user, or one of another tenant."""

    reason = "USER_NOT_FOUND"


class UsernameTaken(AlreadyExists):
    """Names are unique within the stack."""

    reason = "USERNAME_TAKEN"


class LastAdmin(AutomationError):
    """The change would leave a tenant without an admin who can sign in."""

    kind = Kind.PRECONDITION
    reason = "LAST_ADMIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """What a caller asks for; checked here, so that no invalid user exists."""

    username: str
    tenant_id: str
    roles: frozenset[str]
    disabled: bool = False

    def __post_init__(self) -> None:
        if not _USERNAME.fullmatch(self.username):
            raise ValidationError("a username has 1 to 64 of a-z, 0-9, '.', '_', '-' and '@'", field="user.username")
        checked_tenant(self.tenant_id, field="user.tenant_id")
        checked_roles(self.roles, field="user.roles")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who may sign in."""

    user_id: str
    spec: NewUser
    password_hash: str = field(repr=False)
    created_at: datetime

    @property
    def permissions(self) -> frozenset[str]:
        """What the user's roles allow."""
        return permissions_of(self.spec.roles)

    @property
    def is_working_admin(self) -> bool:
        """An admin who can sign in: each tenant keeps at least one."""
        return ADMIN in self.spec.roles and not self.spec.disabled

    def change(self, *, roles: frozenset[str] | None, disabled: bool | None, other_admins: int) -> User:
        """The user with new roles or disabled (None: as it is). `other_admins` is how many others remain."""
        spec = replace(
            self.spec,
            roles=self.spec.roles if roles is None else roles,
            disabled=self.spec.disabled if disabled is None else disabled,
        )
        changed = replace(self, spec=spec)
        if self.is_working_admin and not changed.is_working_admin:
            self.require_other_admin(other_admins)
        return changed

    def require_other_admin(self, other_admins: int) -> None:
        """Raises LastAdmin when this is the only admin of the tenant who can sign in."""
        if self.is_working_admin and other_admins == 0:
            raise LastAdmin(
                f"{self.spec.username} is the last admin of tenant {self.spec.tenant_id}: make another one first",
                username=self.spec.username,
                tenantId=self.spec.tenant_id,
            )
