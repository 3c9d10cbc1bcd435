"""The keys that sign tokens, in SQL, sealed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from automesh.storage.postgres import Connection, Database, Record
from automesh.storage.sealing import Sealer, place
from services.auth.domain.signing_keys import KeyState, SigningKey

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('automesh.auth.signing_keys', 0))"
_READ = "SELECT * FROM signing_key ORDER BY key_id"
_REMOVE = "DELETE FROM signing_key WHERE key_id <> ALL ($1)"
_ADD = """
INSERT INTO signing_key (key_id, state, sealed_private, created_at, state_since) VALUES ($1, $2, $3, $4, $5)
"""
_MOVE = "UPDATE signing_key SET state = $2, state_since = $3 WHERE key_id = $1"
_LIFE = (KeyState.RETIRING, KeyState.ACTIVE, KeyState.NEXT)  # in this order never two are active


class SqlSigningKeyStore:
    """A services.auth.domain.signing_keys.SigningKeyStore."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer

    async def change(self, change: Callable[[list[SigningKey]], list[SigningKey]]) -> list[SigningKey]:
        async with self._database.transaction(None) as tx:
            await tx.execute(_LOCK)
            before = [self._key(row) for row in await tx.fetch(_READ)]
            after = change(before)
            await self._write(tx, before, after)
        return after

    async def _write(self, tx: Connection, before: Sequence[SigningKey], after: Sequence[SigningKey]) -> None:
        known = {key.key_id: key for key in before}
        await tx.execute(_REMOVE, [key.key_id for key in after])
        for key in sorted(after, key=lambda key: _LIFE.index(key.state)):
            if key.key_id not in known:
                sealed = self._sealer.seal(key.private_pem, _place(key.key_id))
                await tx.execute(_ADD, key.key_id, key.state, sealed, key.created_at, key.state_since)
            elif key != known[key.key_id]:
                await tx.execute(_MOVE, key.key_id, key.state, key.state_since)

    def _key(self, row: Record) -> SigningKey:
        return SigningKey(
            key_id=row["key_id"],
            state=KeyState(row["state"]),
            private_pem=self._sealer.unseal(row["sealed_private"], _place(row["key_id"])),
            created_at=row["created_at"],
            state_since=row["state_since"],
        )


def _place(key_id: str) -> bytes:
    return place("auth", "signing_key", "sealed_private", key_id)
