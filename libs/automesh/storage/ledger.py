"""The ledger of blobs: names of those that are to be deleted when their time has come, unless they are kept until then.

A schema that has one has a table `discarded_blob (blob text PRIMARY KEY, due_at timestamptz NOT NULL)`, with an index
on `due_at`: names alone, nothing of a tenant's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from automesh.storage.postgres import Database

KEEP = "DELETE FROM discarded_blob WHERE blob = $1"
"""For the transaction that makes a blob part of something."""
RESERVE = """
INSERT INTO discarded_blob (blob, due_at) VALUES ($1, now() + $2::interval)
ON CONFLICT (blob) DO UPDATE SET due_at = excluded.due_at
"""
DISCARDED = "SELECT blob FROM discarded_blob WHERE due_at <= now() ORDER BY due_at LIMIT $1"
SWEPT = "DELETE FROM discarded_blob WHERE blob = ANY ($1::text[])"


class SqlBlobLedger:
    """Remembers a blob before its first byte is written, so that it is swept up if nothing comes of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, blob: str, keep_for: timedelta) -> None:
        """It is due after so long; with 0 at once."""
        await self._database.execute(RESERVE, blob, keep_for, tenant=None)

    async def discarded(self, limit: int) -> Sequence[str]:
        """Those that are due, the longest first."""
        return [row["blob"] for row in await self._database.fetch(DISCARDED, limit, tenant=None)]

    async def swept(self, blobs: Collection[str]) -> None:
        """They are deleted: forgets them."""
        await self._database.execute(SWEPT, list(blobs), tenant=None)
