"""The first user of a fresh stack, and the way back in when the last password is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from automesh.core.clock import Clock
from services.auth.domain.lockout import Lockout
from services.auth.domain.passwords import PasswordHasher, random_password
from services.auth.domain.roles import ADMIN, OPERATOR
from services.auth.domain.tenant import DEFAULT_TENANT, EVERY_TENANT
from services.auth.domain.user import NewUser, User
from services.auth.domain.user_store import UserStore

ADMIN_NAME = "admin"
KeepPassword = Callable[[str], Awaitable[None]]
"""Writes the password where its owner finds it."""


class FirstAdmin:
    """Makes or mends the user `admin`, who holds every permission."""

    def __init__(
        self,
        users: UserStore,
        hasher: PasswordHasher,
        keep_password: KeepPassword,
        clock: Clock,
        new_id: Callable[[str], str],
    ) -> None:
        self._users, self._hasher, self._keep_password = users, hasher, keep_password
        self._clock, self._new_id = clock, new_id

    async def ensure(self) -> bool:
        """Adds the admin if there is no user at all; says whether it did. Safe when several processes start at once."""
        password = random_password()
        user = await self._fresh(password)
        # The password is kept before anybody can see the user: a crash in between leads to a new try, not a lock-out.
        return await self._users.add_first(user, lambda: self._keep_password(password))

    async def reset(self, lockout: Lockout) -> None:
        """Gives `admin` a new password and all roles, adding the user where it is gone."""
        password = random_password()
        fresh = await self._fresh(password)
        await self._keep_password(password)
        known = await self._users.find_by_name(ADMIN_NAME)
        if known is None:
            await self._users.add(fresh, None)
        else:
            spec = replace(fresh.spec, tenant_id=known.spec.tenant_id)
            await self._users.change(
                known.user_id,
                EVERY_TENANT,
                lambda user, _: replace(user, spec=spec, password_hash=fresh.password_hash),
            )
        await lockout.succeeded(ADMIN_NAME)

    async def _fresh(self, password: str) -> User:
        return User(
            user_id=self._new_id("user"),
            spec=NewUser(username=ADMIN_NAME, tenant_id=DEFAULT_TENANT, roles=frozenset({ADMIN, OPERATOR})),
            password_hash=await self._hasher.hash(password),
            created_at=self._clock(),
        )
