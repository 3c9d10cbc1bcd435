"""API keys in SQL: digests only."""

from __future__ import annotations

from datetime import datetime

from automesh.storage.postgres import ENGINE, Database, Record
from services.auth.domain.api_keys import ApiKey, ApiKeyNotFound, NewApiKey, TooManyKeys
from services.auth.domain.user import UserNotFound

_LOCK_OWNER = "SELECT 1 FROM user_account WHERE user_id = $1 FOR UPDATE"
_COUNT = "SELECT count(*) FROM api_key WHERE owner_id = $1"
_ADD = """
INSERT INTO api_key (key_id, tenant_id, owner_id, name, permissions, digest, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_FIND = "SELECT * FROM api_key WHERE key_id = $1"
_LIST = """
SELECT * FROM api_key WHERE owner_id = $1 AND ($2::text IS NULL OR key_id < $2) ORDER BY key_id DESC LIMIT $3
"""
_REMOVE = "DELETE FROM api_key WHERE key_id = $1 AND owner_id = $2 RETURNING key_id"
_MARK = "UPDATE api_key SET last_used_at = $2 WHERE key_id = $1"


class SqlApiKeyStore:
    """A services.auth.domain.api_keys.ApiKeyStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey, *, at_most: int) -> None:
        async with self._database.transaction(key.tenant_id) as tx:
            if not await tx.fetchval(_LOCK_OWNER, key.owner_id):  # one at a time, so that the count holds
                raise UserNotFound(f"there is no user {key.owner_id}", userId=key.owner_id)
            if await tx.fetchval(_COUNT, key.owner_id) >= at_most:
                raise TooManyKeys(f"you have {at_most} API keys, the most one may have: revoke some", limit=at_most)
            await tx.execute(
                _ADD,
                key.key_id,
                key.tenant_id,
                key.owner_id,
                key.spec.name,
                sorted(key.spec.permissions),
                key.digest,
                key.created_at,
                key.spec.expires_at,
            )

    async def find(self, key_id: str) -> ApiKey | None:
        row = await self._database.fetchrow(_FIND, key_id, tenant=ENGINE)
        return _key(row) if row else None

    async def list_newest(self, owner_id: str, tenant_id: str, *, limit: int, before: str | None) -> list[ApiKey]:
        rows = await self._database.fetch(_LIST, owner_id, before, limit, tenant=tenant_id)
        return [_key(row) for row in rows]

    async def remove(self, key_id: str, owner_id: str, tenant_id: str) -> None:
        if await self._database.fetchval(_REMOVE, key_id, owner_id, tenant=tenant_id) is None:
            raise ApiKeyNotFound(f"you have no API key {key_id}", keyId=key_id)

    async def mark_used(self, key_id: str, now: datetime) -> None:
        await self._database.execute(_MARK, key_id, now.replace(second=0, microsecond=0), tenant=ENGINE)


def _key(row: Record) -> ApiKey:
    spec = NewApiKey(name=row["name"], permissions=frozenset(row["permissions"]), expires_at=row["expires_at"])
    return ApiKey(
        key_id=row["key_id"],
        spec=spec,
        tenant_id=row["tenant_id"],
        owner_id=row["owner_id"],
        digest=row["digest"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
    )
