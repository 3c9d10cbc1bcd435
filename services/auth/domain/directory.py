"""The use cases about users: adding, changing, removing them, and changing one's own password."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

from automesh.core.clock import Clock
from automesh.core.errors import AlreadyExists, PermissionDenied, Unauthenticated, ValidationError
from automesh.core.ids import is_id
from services.auth.domain.actor import PERSON_PREFIX, Actor, Origin
from services.auth.domain.lockout import Lockout
from services.auth.domain.passwords import PasswordHasher, check_password
from services.auth.domain.roles import TENANT_ANY, checked_roles, permissions_of, require_no_more_than
from services.auth.domain.turnstile import Turnstile
from services.auth.domain.user import NewUser, User, UserNotFound
from services.auth.domain.user_store import CreationKey, UserStore

MAX_REQUEST_ID = 128


class WrongPassword(Unauthenticated):
    """The current password given with a new one is not right."""

    reason = "WRONG_PASSWORD"


class UserDirectory:
    """Keeps the rule that nobody gives, or overrules, more than they hold."""

    def __init__(
        self,
        *,
        users: UserStore,
        hasher: PasswordHasher,
        lockout: Lockout,
        turnstile: Turnstile,
        clock: Clock,
        new_id: Callable[[str], str],
    ) -> None:
        self._users, self._hasher, self._lockout, self._turnstile = users, hasher, lockout, turnstile
        self._clock, self._new_id = clock, new_id

    async def create(self, actor: Actor, spec: NewUser, password: str, *, request_id: str = "") -> User:
        """Adds a user. With a request_id, asking again the same returns the first answer."""
        if spec.tenant_id != actor.tenant_id and not actor.may(TENANT_ANY):
            raise PermissionDenied(
                f"adding users to tenant {spec.tenant_id} needs the permission {TENANT_ANY}", tenantId=spec.tenant_id
            )
        require_no_more_than(actor.permissions, permissions_of(spec.roles), what="giving these roles")
        check_password(password, username=spec.username, field="password")
        user = User(
            user_id=self._new_id(PERSON_PREFIX),
            spec=spec,
            password_hash=await self._hasher.hash(password),
            created_at=self._clock(),
        )
        stored = await self._users.add(user, _creation_key(actor, spec, request_id))
        if stored.user_id != user.user_id:
            await self._require_same_password(stored, password)
        return stored

    async def get(self, actor: Actor, user_id: str) -> User:
        """One user of the caller's tenant (of any, for operators)."""
        return await self._users.get(_known_shape(user_id), actor.scope)

    async def list_newest(self, actor: Actor, *, limit: int, before: str | None) -> list[User]:
        """The users of the caller's own tenant."""
        return await self._users.list_newest(actor.tenant_id, limit=limit, before=before)

    async def update(
        self, actor: Actor, user_id: str, *, roles: frozenset[str] | None = None, disabled: bool | None = None
    ) -> User:
        """Changes roles or disabled; None leaves as it is."""
        if roles is not None:
            checked_roles(roles, field="user.roles")
            require_no_more_than(actor.permissions, permissions_of(roles), what="giving these roles")

        def change(user: User, other_admins: int) -> User:
            require_no_more_than(actor.permissions, user.permissions, what=f"changing {user.spec.username}")
            return user.change(roles=roles, disabled=disabled, other_admins=other_admins)

        return await self._users.change(_known_shape(user_id), actor.scope, change)

    async def delete(self, actor: Actor, user_id: str) -> None:
        """Removes a user with all keys and refresh tokens."""

        def check(user: User, other_admins: int) -> None:
            require_no_more_than(actor.permissions, user.permissions, what=f"removing {user.spec.username}")
            user.require_other_admin(other_admins)

        await self._users.remove(_known_shape(user_id), actor.scope, check)

    async def change_password(self, actor: Actor, current: str, new: str, origin: Origin) -> None:
        """Changes the caller's own password and signs them out everywhere."""
        actor.require_person("change a password")
        user = await self._users.get(actor.subject, actor.tenant_id)
        name = user.spec.username
        check_password(new, username=name, field="new_password")
        if new == current:
            raise ValidationError("the new password is the one you have", field="new_password")
        async with self._turnstile.turn(name):  # a stolen token must not be a way to guess the password
            await self._lockout.admit(name, origin.source)
            if not (await self._hasher.verify(current, user.password_hash)).matches:
                await self._lockout.failed(name, origin.source)
                raise WrongPassword("the current password is not right")
            await self._lockout.succeeded(name)
        hashed = await self._hasher.hash(new)
        await self._users.change(user.user_id, actor.tenant_id, lambda found, _: replace(found, password_hash=hashed))

    async def _require_same_password(self, stored: User, password: str) -> None:
        if not (await self._hasher.verify(password, stored.password_hash)).matches:
            raise AlreadyExists("this request_id was used before to add a user with another password")


def _known_shape(user_id: str) -> str:
    """Text that is no id names no user; storage need not be asked (and cannot hold every text)."""
    if not is_id(user_id, PERSON_PREFIX):
        raise UserNotFound(f"there is no user {user_id!r}", userId=user_id)
    return user_id


def _creation_key(actor: Actor, spec: NewUser, request_id: str) -> CreationKey | None:
    if not request_id:
        return None
    if len(request_id) > MAX_REQUEST_ID or not request_id.isprintable():
        raise ValidationError(f"request_id has at most {MAX_REQUEST_ID} printable characters", field="request_id")
    body = json.dumps([spec.username, spec.tenant_id, sorted(spec.roles), spec.disabled])
    digest = hashlib.sha256(body.encode()).hexdigest()  # without the password: a fast digest of it could be guessed
    return CreationKey(creator=actor.subject, request_id=request_id, digest=digest)
