"""Failures to sign in, in SQL, so that a restart forgives nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from automesh.storage.postgres import Database
from services.auth.domain.lockout import Failures

_READ = "SELECT subject_key, count, last_at FROM sign_in_failure WHERE subject_key = ANY ($1)"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('automesh.auth.failure.' || $1, 0))"  # the row may not exist yet
_WRITE = """
INSERT INTO sign_in_failure (subject_key, count, last_at) VALUES ($1, $2, $3)
ON CONFLICT (subject_key) DO UPDATE SET count = excluded.count, last_at = excluded.last_at
"""
_FORGET = "DELETE FROM sign_in_failure WHERE subject_key = $1"
_SWEEP = """
WITH gone AS (DELETE FROM sign_in_failure WHERE last_at < $1 RETURNING 1) SELECT count(*) FROM gone
"""


class SqlFailureStore:
    """A services.auth.domain.lockout.FailureStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, keys: Sequence[str]) -> dict[str, Failures]:
        rows = await self._database.fetch(_READ, list(keys), tenant=None)
        return {row["subject_key"]: Failures(row["count"], row["last_at"]) for row in rows}

    async def change(self, key: str, change: Callable[[Failures | None], Failures]) -> None:
        async with self._database.transaction(None) as tx:
            await tx.execute(_LOCK, key)
            row = await tx.fetchrow(_READ, [key])
            failures = change(Failures(row["count"], row["last_at"]) if row else None)
            await tx.execute(_WRITE, key, failures.count, failures.last_at)

    async def forget(self, key: str) -> None:
        await self._database.execute(_FORGET, key, tenant=None)

    async def forget_before(self, moment: datetime) -> int:
        gone: int = await self._database.fetchval(_SWEEP, moment, tenant=None)
        return gone
