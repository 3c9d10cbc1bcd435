"""Claims in SQL: each statement is fenced by the digest of the token, over all tenants."""

from __future__ import annotations

from automesh.storage.ledger import KEEP
from automesh.storage.postgres import ENGINE, Connection, Database, Record
from automesh.storage.sealing import Sealer
from services.data.domain.errors import ClaimRefused, claim_stale, version_not_found
from services.data.domain.version import Failure, Manifest, State, StoredFile, Version, check_written
from services.data.store import rows
from services.data.store.versions import DISCARD, TOUCH_DATASET

LOCK = "SELECT * FROM version WHERE tenant_id = $1 AND data_id = $2 AND version = $3 FOR UPDATE"
CLAIM = """
UPDATE version SET claim = claim + 1, claim_digest = $4, attempt = $5, task_id = coalesce(task_id, $6), heard_at = now()
 WHERE tenant_id = $1 AND data_id = $2 AND version = $3 RETURNING *
"""
HELD = "SELECT * FROM version WHERE claim_digest = $1"
SET_UPLOAD = """
UPDATE version SET upload_id = $4, heard_at = now()
 WHERE tenant_id = $1 AND data_id = $2 AND version = $3 AND state = 'PROCESSING'
"""
HEARD = "UPDATE version SET heard_at = now() WHERE data_id = $1 AND version = $2"
REPLACED = """
INSERT INTO discarded_blob (blob, due_at)
SELECT blob, now() FROM version_file WHERE data_id = $1 AND version = $2 AND name = $3
ON CONFLICT (blob) DO UPDATE SET due_at = excluded.due_at
"""
PUT = """
INSERT INTO version_file (tenant_id, data_id, version, name, size, sha256, blob) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (data_id, version, name) DO UPDATE
   SET size = excluded.size, sha256 = excluded.sha256, blob = excluded.blob
"""
FILES = "SELECT * FROM version_file WHERE data_id = $1 AND version = $2"
DISCARD_OTHERS = """
WITH gone AS (DELETE FROM version_file WHERE data_id = $1 AND version = $2 AND name <> ALL ($3::text[]) RETURNING blob)
INSERT INTO discarded_blob (blob, due_at) SELECT blob, now() FROM gone
ON CONFLICT (blob) DO UPDATE SET due_at = excluded.due_at
"""
REGISTER = """
UPDATE version SET state = $3, rows = $4, size = $5, digest = $6, manifest = $7, finished_at = now(), heard_at = now()
 WHERE data_id = $1 AND version = $2 RETURNING *
"""
MAKE_LATEST = """
UPDATE dataset SET latest_version = greatest(latest_version, $2), updated_at = now() WHERE data_id = $1
"""
FAIL = """
UPDATE version SET state = 'FAILED', failure = $3, finished_at = now(), heard_at = now()
 WHERE data_id = $1 AND version = $2 RETURNING *
"""


class SqlClaimStore:
    """A services.data.domain.ports.ClaimStore."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._rows = rows.VersionRows(sealer)

    async def claim(self, version: Version, *, task_id: str, attempt: int, digest: bytes) -> tuple[Version, int]:
        """Takes the version over; what a former claim wrote goes."""
        key = (version.tenant_id, version.data_id, version.version)
        async with self._database.transaction(ENGINE) as tx:
            row = await tx.fetchrow(LOCK, *key)
            if row is None:
                raise version_not_found(version.data_id, version.version)
            _check_claim(row, task_id, attempt)
            if row["state"] != State.PROCESSING:
                return self._rows.version(row), 0
            await tx.execute(DISCARD, version.data_id, version.version)
            row = await tx.fetchrow(CLAIM, *key, digest, attempt, task_id)
        assert row is not None  # noqa: S101 # it is locked
        return self._rows.version(row), row["claim"]

    async def held(self, digest: bytes) -> Version:
        """A look, without a lock."""
        row = await self._database.fetchrow(HELD, digest, tenant=ENGINE)
        if row is None:
            raise claim_stale()
        return self._rows.version(row)

    async def set_upload(self, version: Version, upload_id: str) -> None:
        """Nothing happens to a version that is finished or gone."""
        key = (version.tenant_id, version.data_id, version.version)
        await self._database.execute(SET_UPLOAD, *key, upload_id, tenant=ENGINE)

    async def add_file(self, digest: bytes, file: StoredFile) -> None:
        """Visible once the claim is seen to be good, in the same transaction."""
        info = file.info
        async with self._database.transaction(ENGINE) as tx:
            row = await self._locked(tx, digest)
            if row["state"] != State.PROCESSING:
                raise claim_stale()
            key = (row["data_id"], row["version"])
            await tx.execute(REPLACED, *key, info.name)
            await tx.execute(PUT, row["tenant_id"], *key, info.name, info.size, info.sha256, file.blob)
            await tx.execute(KEEP, file.blob)
            await tx.execute(HEARD, *key)

    async def finish(self, digest: bytes, outcome: Manifest | Failure) -> Version:
        """All or nothing."""
        async with self._database.transaction(ENGINE) as tx:
            row = await self._locked(tx, digest)
            if row["state"] == State.PROCESSING:
                row = await self._finish(tx, row, outcome)
        return self._rows.version(row)

    async def _finish(self, tx: Connection, row: Record, outcome: Manifest | Failure) -> Record:
        key = (row["data_id"], row["version"])
        if isinstance(outcome, Failure):
            await tx.execute(DISCARD, *key)
            await tx.execute(TOUCH_DATASET, row["data_id"])
            finished = await tx.fetchrow(FAIL, *key, self._rows.failure(*key, outcome))
        else:
            check_written(outcome, {each["name"]: rows.file(each).info for each in await tx.fetch(FILES, *key)})
            await tx.execute(DISCARD_OTHERS, *key, [info.name for info in outcome.files])
            sealed = self._rows.manifest(*key, outcome)
            made = (outcome.state, outcome.rows, outcome.size, outcome.digest, sealed)
            finished = await tx.fetchrow(REGISTER, *key, *made)
            await tx.execute(*((MAKE_LATEST, *key) if outcome.state is State.READY else (TOUCH_DATASET, key[0])))
        assert finished is not None  # noqa: S101 # it is locked
        return finished

    async def _locked(self, tx: Connection, digest: bytes) -> Record:
        row = await tx.fetchrow(HELD + " FOR UPDATE", digest)
        if row is None:
            raise claim_stale()
        return row


def _check_claim(row: Record, task_id: str, attempt: int) -> None:
    if row["task_id"] not in {None, task_id}:
        raise ClaimRefused(f"version {row['version']} of {row['data_id']} is made by task {row['task_id']}")
    if attempt < row["attempt"]:
        raise claim_stale()
