"""Refresh tokens in SQL: digests only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from automesh.storage.postgres import ENGINE, Connection, Database, Record
from services.auth.domain.refresh import Family, Outcome, RefreshToken, Rotation

_ADD_FAMILY = """
INSERT INTO refresh_family (family_id, tenant_id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
"""
_ADD = """
INSERT INTO refresh_token (digest, family_id, tenant_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
"""
# The family is locked, not the token: whatever happens in one family happens one after the other.
_LOCK = """
SELECT f.family_id FROM refresh_token t JOIN refresh_family f USING (family_id) WHERE t.digest = $1 FOR UPDATE OF f
"""
_GET = """
SELECT t.digest, t.created_at, t.expires_at, t.used_at, t.salt,
       f.family_id, f.user_id, f.tenant_id, f.created_at AS family_created_at, f.expires_at AS family_expires_at,
       f.revoked_at
  FROM refresh_token t JOIN refresh_family f USING (family_id) WHERE t.digest = $1
"""
_USE = "UPDATE refresh_token SET used_at = $2, salt = $3 WHERE digest = $1"
_REVOKE = "UPDATE refresh_family SET revoked_at = $2 WHERE family_id = $1 AND revoked_at IS NULL"
_SWEEP = """
WITH gone AS (DELETE FROM refresh_family WHERE expires_at < $1 RETURNING 1) SELECT count(*) FROM gone
"""
_SWEEP_TOKENS = "DELETE FROM refresh_token WHERE expires_at < $1"


class SqlRefreshStore:
    """A services.auth.domain.refresh.RefreshStore. Tokens are looked up before their tenant is known: as the engine."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, token: RefreshToken) -> None:
        family = token.family
        async with self._database.transaction(family.tenant_id) as tx:
            await tx.execute(
                _ADD_FAMILY, family.family_id, family.tenant_id, family.user_id, family.created_at, family.expires_at
            )
            await _add(tx, token)

    async def rotate(self, digest: bytes, decide: Callable[[RefreshToken], Rotation]) -> Rotation | None:
        async with self._database.transaction(ENGINE) as tx:
            token = await _locked(tx, digest)
            if token is None:
                return None
            rotation = decide(token)
            await _apply(tx, rotation)
        return rotation

    async def revoke(self, digest: bytes, now: datetime) -> RefreshToken | None:
        async with self._database.transaction(ENGINE) as tx:
            token = await _locked(tx, digest)
            if token is not None:
                await tx.execute(_REVOKE, token.family.family_id, now)
        return token

    async def forget_before(self, moment: datetime) -> int:
        async with self._database.transaction(ENGINE) as tx:
            await tx.execute(_SWEEP_TOKENS, moment)
            families: int = await tx.fetchval(_SWEEP, moment)
        return families


async def _apply(tx: Connection, rotation: Rotation) -> None:
    token = rotation.token
    if rotation.outcome is Outcome.ROTATED and rotation.successor is not None:
        await tx.execute(_USE, token.digest, token.used_at, token.salt)
        await _add(tx, rotation.successor)
    elif rotation.outcome is Outcome.REUSED:
        await tx.execute(_REVOKE, token.family.family_id, token.family.revoked_at)


async def _add(tx: Connection, token: RefreshToken) -> None:
    family = token.family
    await tx.execute(_ADD, token.digest, family.family_id, family.tenant_id, token.created_at, token.expires_at)


async def _locked(tx: Connection, digest: bytes) -> RefreshToken | None:
    if await tx.fetchval(_LOCK, digest) is None:
        return None
    row = await tx.fetchrow(_GET, digest)  # read again: it may have changed while we waited for the lock
    return _token(row) if row else None


def _token(row: Record) -> RefreshToken:
    family = Family(
        family_id=row["family_id"],
        user_id=row["user_id"],
        tenant_id=row["tenant_id"],
        created_at=row["family_created_at"],
        expires_at=row["family_expires_at"],
        revoked_at=row["revoked_at"],
    )
    return RefreshToken(
        digest=row["digest"],
        family=family,
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        used_at=row["used_at"],
        salt=row["salt"],
    )
