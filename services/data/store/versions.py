"""Versions in SQL, as people see them. What is claimed, written and finished: see claims.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

import asyncpg

from automesh.storage.postgres import ENGINE, Connection, Database, Record
from automesh.storage.sealing import Sealer
from services.data.domain.dataset import NewDataset
from services.data.domain.errors import RequestReused, dataset_not_found, version_not_found
from services.data.domain.version import Draft, Failure, Origin, StoredFile, Version
from services.data.store import rows

OF_REQUEST = """
SELECT v.*, r.fingerprint FROM version_request r JOIN version v USING (data_id, version)
 WHERE r.tenant_id = $1 AND r.request_id = $2
"""
OF_TASK = "SELECT * FROM version WHERE tenant_id = $1 AND task_id = $2"
NEW_DATASET = """
INSERT INTO dataset (data_id, tenant_id, name, description, labels, created_by) VALUES ($1, $2, $3, $4, $5, $6)
"""
COUNT_ON = """
UPDATE dataset SET last_version = last_version + 1, updated_at = now()
 WHERE tenant_id = $1 AND data_id = $2 RETURNING last_version
"""
SOURCE_LOCKED = """
SELECT 1 FROM version WHERE tenant_id = $1 AND data_id = $2 AND version = $3 AND state = 'READY' FOR KEY SHARE
"""
NEW_VERSION = """
INSERT INTO version (tenant_id, data_id, version, recipe, task_id, upload_id, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *
"""
NEW_LINEAGE = """
INSERT INTO lineage (tenant_id, data_id, version, kind, source_id, source_version) VALUES ($1, $2, $3, $4, $5, $6)
"""
NEW_REQUEST = """
INSERT INTO version_request (tenant_id, request_id, data_id, version, fingerprint) VALUES ($1, $2, $3, $4, $5)
"""
BIND = """
UPDATE version SET task_id = $4, heard_at = now()
 WHERE tenant_id = $1 AND data_id = $2 AND version = $3 AND task_id IS NULL AND state = 'PROCESSING'
"""
WITHDRAW = """
DELETE FROM version WHERE tenant_id = $1 AND data_id = $2 AND version = $3 AND task_id IS NULL AND state = 'PROCESSING'
"""
DROP_EMPTY = """
DELETE FROM dataset d WHERE tenant_id = $1 AND data_id = $2 AND last_version = 1
   AND NOT EXISTS (SELECT 1 FROM version v WHERE v.data_id = d.data_id)
"""
GET = "SELECT * FROM version WHERE tenant_id = $1 AND data_id = $2 AND version = $3"
LATEST = """
SELECT v.* FROM dataset d LEFT JOIN version v ON v.data_id = d.data_id AND v.version = d.latest_version
 WHERE d.tenant_id = $1 AND d.data_id = $2
"""
EXISTS = "SELECT 1 FROM dataset WHERE tenant_id = $1 AND data_id = $2"
LIST = """
SELECT * FROM version WHERE tenant_id = $1 AND data_id = $2 AND ($3::integer IS NULL OR version < $3)
 ORDER BY version DESC LIMIT $4
"""
FILES = "SELECT * FROM version_file WHERE tenant_id = $1 AND data_id = $2 AND version = $3 ORDER BY name"
FAIL = """
UPDATE version SET state = 'FAILED', failure = $4, finished_at = now(), heard_at = now()
 WHERE tenant_id = $1 AND data_id = $2 AND version = $3 AND state = 'PROCESSING'
"""
TOUCH_DATASET = "UPDATE dataset SET updated_at = now() WHERE data_id = $1"
DISCARD = """
WITH gone AS (DELETE FROM version_file WHERE data_id = $1 AND version = $2 RETURNING blob)
INSERT INTO discarded_blob (blob, due_at) SELECT blob, now() FROM gone
ON CONFLICT (blob) DO UPDATE SET due_at = excluded.due_at
"""
QUIET = """
UPDATE version SET heard_at = now()
 WHERE (data_id, version) IN (
       SELECT data_id, version FROM version WHERE state = 'PROCESSING' AND heard_at < now() - $1::interval
        ORDER BY heard_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING *
"""
FORGET_REQUESTS = """
WITH old AS (SELECT tenant_id, request_id FROM version_request WHERE created_at < now() - $1::interval LIMIT 10000),
     gone AS (DELETE FROM version_request USING old
               WHERE version_request.tenant_id = old.tenant_id AND version_request.request_id = old.request_id
              RETURNING 1)
SELECT count(*) FROM gone
"""
_TRIES = 3


class SqlVersionStore:
    """A services.data.domain.ports.VersionStore."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._rows = rows.VersionRows(sealer)

    async def draft(self, draft: Draft, new: NewDataset | None) -> tuple[Version, bool]:
        """One transaction. Whoever comes second with a request or task finds what the first one made."""
        for _ in range(_TRIES):
            known = await self._known(draft)
            if known is not None:
                return known, False
            with suppress(asyncpg.UniqueViolationError):  # the same came first just now: look again
                return await self._draft(draft, new), True
        raise AssertionError("unreachable: what violates uniqueness is there to be found")

    async def bind(self, version: Version, task_id: str) -> None:
        """Once; a claim may have been faster."""
        await self._database.execute(BIND, *_key(version), task_id, tenant=version.tenant_id)

    async def withdraw(self, version: Version) -> None:
        """Only while it has no task."""
        async with self._database.transaction(version.tenant_id) as tx:
            if await tx.execute(WITHDRAW, *_key(version)) != "DELETE 0":
                await tx.execute(DROP_EMPTY, version.tenant_id, version.data_id)

    async def get(self, tenant_id: str, data_id: str, version: int) -> Version:
        """One row, or the latest that is READY."""
        if version == 0:
            return await self._latest(tenant_id, data_id)
        row = await self._database.fetchrow(GET, tenant_id, data_id, _int4(version), tenant=tenant_id)
        if row is None:
            await self._check_dataset(tenant_id, data_id)
            raise version_not_found(data_id, version)
        return self._rows.version(row)

    async def of_request(self, tenant_id: str, request_id: str, fingerprint: bytes) -> Version | None:
        """The fingerprint tells whether the same is asked for."""
        row = await self._database.fetchrow(OF_REQUEST, tenant_id, request_id, tenant=tenant_id)
        if row is None:
            return None
        if not self._rows.same_fingerprint(tenant_id, request_id, row["fingerprint"], fingerprint):
            raise RequestReused(
                f"request_id {request_id!r} was used for another version: use a new one", requestId=request_id
            )
        return self._rows.version(row)

    async def of_task(self, tenant_id: str, task_id: str) -> Version | None:
        """At most one."""
        row = await self._database.fetchrow(OF_TASK, tenant_id, task_id, tenant=tenant_id)
        return None if row is None else self._rows.version(row)

    async def list(self, tenant_id: str, data_id: str, *, limit: int, before: int | None) -> Sequence[Version]:
        """Keyset by number."""
        found = await self._database.fetch(LIST, tenant_id, data_id, before, limit, tenant=tenant_id)
        return [self._rows.version(row) for row in found]

    async def files(self, tenant_id: str, data_id: str, version: int) -> Mapping[str, StoredFile]:
        """By name."""
        found = await self._database.fetch(FILES, tenant_id, data_id, version, tenant=tenant_id)
        return {row["name"]: rows.file(row) for row in found}

    async def fail(self, version: Version, failure: Failure) -> bool:
        """What was written for it is discarded."""
        sealed = self._rows.failure(version.data_id, version.version, failure)
        async with self._database.transaction(version.tenant_id) as tx:
            if await tx.execute(FAIL, *_key(version), sealed) == "UPDATE 0":
                return False
            await tx.execute(DISCARD, version.data_id, version.version)
            await tx.execute(TOUCH_DATASET, version.data_id)
        return True

    async def quiet(self, quiet_for: timedelta, limit: int) -> Sequence[Version]:
        """Several replicas share them: each is given to one."""
        found = await self._database.fetch(QUIET, quiet_for, limit, tenant=ENGINE)
        return [self._rows.version(row) for row in found]

    async def forget_requests(self, older_than: timedelta) -> int:
        """Up to 10,000 at a time."""
        count: int = await self._database.fetchval(FORGET_REQUESTS, older_than, tenant=ENGINE)
        return count

    async def _known(self, draft: Draft) -> Version | None:
        if draft.request_id:
            return await self.of_request(draft.tenant_id, draft.request_id, draft.fingerprint)
        return await self.of_task(draft.tenant_id, draft.task_id) if draft.task_id else None

    async def _draft(self, draft: Draft, new: NewDataset | None) -> Version:
        async with self._database.transaction(draft.tenant_id) as tx:
            if new is not None:
                labels = json.dumps(dict(new.labels))
                told = (draft.tenant_id, new.name, new.description, labels, draft.created_by)
                await tx.execute(NEW_DATASET, draft.data_id, *told)
            number = await tx.fetchval(COUNT_ON, draft.tenant_id, draft.data_id)
            if number is None:
                raise dataset_not_found(draft.data_id)
            await _lock_source(tx, draft.tenant_id, draft.recipe.origin)
            row = await self._insert(tx, draft, number)
        return self._rows.version(row)

    async def _insert(self, tx: Connection, draft: Draft, number: int) -> Record:
        tenant_id, data_id, origin = draft.tenant_id, draft.data_id, draft.recipe.origin
        sealed = self._rows.recipe(data_id, number, draft.recipe)
        upload_id = origin.id if origin.kind == "upload" else None
        row = await tx.fetchrow(
            NEW_VERSION, tenant_id, data_id, number, sealed, draft.task_id or None, upload_id, draft.created_by
        )
        assert row is not None  # noqa: S101 # INSERT ... RETURNING
        await tx.execute(NEW_LINEAGE, tenant_id, data_id, number, origin.kind, origin.id, origin.version)
        if draft.request_id:
            fingerprint = self._rows.fingerprint(tenant_id, draft.request_id, draft.fingerprint)
            await tx.execute(NEW_REQUEST, tenant_id, draft.request_id, data_id, number, fingerprint)
        return row

    async def _latest(self, tenant_id: str, data_id: str) -> Version:
        row = await self._database.fetchrow(LATEST, tenant_id, data_id, tenant=tenant_id)
        if row is None:
            raise dataset_not_found(data_id)
        if row["version"] is None:
            raise version_not_found(data_id, 0)
        return self._rows.version(row)

    async def _check_dataset(self, tenant_id: str, data_id: str) -> None:
        if await self._database.fetchval(EXISTS, tenant_id, data_id, tenant=tenant_id) is None:
            raise dataset_not_found(data_id)


async def _lock_source(tx: Connection, tenant_id: str, origin: Origin) -> None:
    """A version that another one is made of cannot be deleted between our look and our commit."""
    if origin.kind == "dataset" and not await tx.fetchval(SOURCE_LOCKED, tenant_id, origin.id, origin.version):
        raise version_not_found(origin.id, origin.version)


def _key(version: Version) -> tuple[str, str, int]:
    return version.tenant_id, version.data_id, version.version


def _int4(number: int) -> int:
    """No row has a number beyond PostgreSQL's integers."""
    return min(max(number, -1), 2**31 - 1)
