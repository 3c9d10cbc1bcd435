"""Digests of the keys that were certified, in SQL."""

from __future__ import annotations

from datetime import datetime

from automesh.storage.postgres import Database

_ADD = """
INSERT INTO certified_key (key_digest, spiffe_id, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1
"""
_SWEEP = "WITH gone AS (DELETE FROM certified_key WHERE expires_at < $1 RETURNING 1) SELECT count(*) FROM gone"


class SqlIssuedKeys:
    """A services.auth.domain.certificates.IssuedKeys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key_digest: bytes, spiffe_id: str, expires_at: datetime) -> bool:
        return await self._database.fetchval(_ADD, key_digest, spiffe_id, expires_at, tenant=None) is not None

    async def forget_before(self, moment: datetime) -> int:
        gone: int = await self._database.fetchval(_SWEEP, moment, tenant=None)
        return gone
