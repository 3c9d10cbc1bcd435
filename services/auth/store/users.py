"""People in SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg

from automesh.core.errors import AlreadyExists
from automesh.storage.postgres import ENGINE, Connection, Database, Record
from services.auth.domain.roles import ADMIN
from services.auth.domain.tenant import Scope
from services.auth.domain.user import NewUser, User, UsernameTaken, UserNotFound
from services.auth.domain.user_store import CreationKey
from services.auth.store.scopes import tenant_of

_ADD_TENANT = "INSERT INTO tenant (tenant_id, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_ADD = """
INSERT INTO user_account (user_id, tenant_id, username, roles, disabled, password_hash, created_at,
                          creator, request_id, request_digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_MADE_WITH = "SELECT * FROM user_account WHERE creator = $1 AND request_id = $2"
_GET = "SELECT * FROM user_account WHERE user_id = $1"
_BY_NAME = "SELECT * FROM user_account WHERE username = $1"
_LIST = """
SELECT * FROM user_account WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id < $2) ORDER BY user_id DESC LIMIT $3
"""
# Changes of one tenant's users wait for each other, so that two admins cannot remove each other at once.
_LOCK_TENANT = "SELECT 1 FROM tenant WHERE tenant_id = $1 FOR UPDATE"
_OTHER_ADMINS = """
SELECT count(*) FROM user_account WHERE tenant_id = $1 AND user_id <> $2 AND $3 = ANY (roles) AND NOT disabled
"""
_UPDATE = """
UPDATE user_account SET roles = $2, disabled = $3, password_hash = $4 WHERE user_id = $1
"""
_SIGN_OUT = "UPDATE refresh_family SET revoked_at = now() WHERE user_id = $1 AND revoked_at IS NULL"
_REHASH = "UPDATE user_account SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2"
_REMOVE = "DELETE FROM user_account WHERE user_id = $1"
_LOCK_FIRST = "SELECT pg_advisory_xact_lock(hashtextextended('automesh.auth.first_user', 0))"


class SqlUserStore:
    """A services.auth.domain.user_store.UserStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, user: User, key: CreationKey | None) -> User:
        try:
            async with self._database.transaction(ENGINE) as tx:  # the tenant may be new
                await _insert(tx, user, key)
        except asyncpg.UniqueViolationError:
            made = await self._made_with(key) if key else None
            if made is None:
                raise UsernameTaken(
                    f"the username {user.spec.username} is taken", username=user.spec.username
                ) from None
            return made
        return user

    async def get(self, user_id: str, scope: Scope) -> User:
        row = await self._database.fetchrow(_GET, user_id, tenant=tenant_of(scope))
        return _user(row, user_id)

    async def find(self, user_id: str) -> User | None:
        row = await self._database.fetchrow(_GET, user_id, tenant=ENGINE)
        return _user(row, user_id) if row else None

    async def find_by_name(self, username: str) -> User | None:
        if "\0" in username:  # PostgreSQL knows no such text
            return None
        row = await self._database.fetchrow(_BY_NAME, username, tenant=ENGINE)
        return _user(row, username) if row else None

    async def list_newest(self, tenant_id: str, *, limit: int, before: str | None) -> list[User]:
        rows = await self._database.fetch(_LIST, tenant_id, before, limit, tenant=tenant_id)
        return [_user(row, "") for row in rows]

    async def change(self, user_id: str, scope: Scope, change: Callable[[User, int], User]) -> User:
        async with self._database.transaction(tenant_of(scope)) as tx:
            before, others = await _locked(tx, user_id)
            after = change(before, others)
            await tx.execute(_UPDATE, user_id, sorted(after.spec.roles), after.spec.disabled, after.password_hash)
            if after.spec.disabled or after.password_hash != before.password_hash:
                await tx.execute(_SIGN_OUT, user_id)
        return after

    async def replace_hash(self, user_id: str, old: str, new: str) -> None:
        await self._database.execute(_REHASH, user_id, old, new, tenant=ENGINE)

    async def remove(self, user_id: str, scope: Scope, check: Callable[[User, int], None]) -> None:
        async with self._database.transaction(tenant_of(scope)) as tx:
            check(*await _locked(tx, user_id))
            await tx.execute(_REMOVE, user_id)

    async def add_first(self, user: User, announce: Callable[[], Awaitable[None]]) -> bool:
        async with self._database.transaction(ENGINE) as tx:
            await tx.execute(_LOCK_FIRST)
            if await tx.fetchval("SELECT EXISTS (SELECT FROM user_account)"):
                return False
            await _insert(tx, user, None)
            await announce()
        return True

    async def _made_with(self, key: CreationKey) -> User | None:
        row = await self._database.fetchrow(_MADE_WITH, key.creator, key.request_id, tenant=ENGINE)
        if row is not None and row["request_digest"] != key.digest:
            raise AlreadyExists(
                f"request_id {key.request_id} was used before with another body", requestId=key.request_id
            )
        return _user(row, "") if row else None


async def _insert(tx: Connection, user: User, key: CreationKey | None) -> None:
    spec = user.spec
    await tx.execute(_ADD_TENANT, spec.tenant_id, user.created_at)
    made_with = (key.creator, key.request_id, key.digest) if key else (None, None, None)
    await tx.execute(
        _ADD,
        user.user_id,
        spec.tenant_id,
        spec.username,
        sorted(spec.roles),
        spec.disabled,
        user.password_hash,
        user.created_at,
        *made_with,
    )


async def _locked(tx: Connection, user_id: str) -> tuple[User, int]:
    tenant_id = _user(await tx.fetchrow(_GET, user_id), user_id).spec.tenant_id
    await tx.execute(_LOCK_TENANT, tenant_id)
    user = _user(await tx.fetchrow(_GET, user_id), user_id)  # as it is now that we alone may change it
    return user, await tx.fetchval(_OTHER_ADMINS, tenant_id, user_id, ADMIN)


def _user(row: Record | None, user_id: str) -> User:
    if row is None:
        raise UserNotFound(f"there is no user {user_id}", userId=user_id)
    spec = NewUser(
        username=row["username"],
        tenant_id=row["tenant_id"],
        roles=frozenset(row["roles"]),
        disabled=row["disabled"],
    )
    return User(user_id=row["user_id"], spec=spec, password_hash=row["password_hash"], created_at=row["created_at"])
