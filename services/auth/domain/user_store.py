"""The port through which users are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from services.auth.domain.tenant import Scope
from services.auth.domain.user import User


@dataclass(frozen=True, slots=True, kw_only=True)
class CreationKey:
    """Makes a creation safe to repeat: who asked, under which id, and a digest of what was asked."""

    creator: str
    request_id: str
    digest: str


class UserStore(Protocol):
    """Users of all tenants. A scope hides the users of other tenants: they are UserNotFound."""

    async def add(self, user: User, key: CreationKey | None) -> User:
        """Adds the user, and the tenant when it is new. Raises UsernameTaken.

        A creation key that was used before with the same digest returns the user made then; with another digest it
        raises AlreadyExists.
        """
        ...

    async def get(self, user_id: str, scope: Scope) -> User:
        """Raises UserNotFound."""
        ...

    async def find(self, user_id: str) -> User | None:
        """Whatever the tenant: for the owner of a key or token."""
        ...

    async def find_by_name(self, username: str) -> User | None:
        """Whatever the tenant: for signing in, where no tenant is known yet."""
        ...

    async def list_newest(self, tenant_id: str, *, limit: int, before: str | None) -> list[User]:
        """At most `limit` users of the tenant, newest first, older than the id `before`."""
        ...

    async def change(self, user_id: str, scope: Scope, change: Callable[[User, int], User]) -> User:
        """Read, decide, write, atomically. The number is how many other working admins the tenant has.

        A user who becomes disabled, or whose password hash changes, is signed out everywhere in the same step.
        """
        ...

    async def replace_hash(self, user_id: str, old: str, new: str) -> None:
        """The same password hashed with today's parameters; nothing when it was changed meanwhile."""
        ...

    async def remove(self, user_id: str, scope: Scope, check: Callable[[User, int], None]) -> None:
        """Removes the user with keys and refresh tokens, unless `check` raises."""
        ...

    async def add_first(self, user: User, announce: Callable[[], Awaitable[None]]) -> bool:
        """Adds the user if there is none at all, and says whether it did. Several processes may call it at once.

        `announce` runs just before the user becomes visible; when it raises, no user is added.
        """
        ...
