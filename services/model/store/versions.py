"""Versions and moves of aliases in SQL. The model's row is locked by whoever adds a version or moves an alias."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.core.ids import new_id
from automesh.storage.postgres import Connection, Database, Record
from services.model.domain.registry.errors import AliasNotFound, version_not_found
from services.model.domain.registry.model import Model
from services.model.domain.registry.moves import AliasMove, Basis, NewMove
from services.model.domain.registry.ports import BasisChanged
from services.model.domain.registry.version import ModelVersion, NewVersion
from services.model.domain.runs.errors import token_stale
from services.model.domain.webhooks import events
from services.model.store import model_rows as rows
from services.model.store.models import SqlModels, locked
from services.model.store.outbox import announce
from services.model.store.run_rows import token_key

INSERT = """
INSERT INTO model_version (tenant_id, model_id, version, run_id, metrics, signature, size, parameters, digest, files,
                           card, spec, data_id, data_version, created_by)
VALUES ($1, $2, $3, $4, $5::jsonb, $6::json, $7, $8, $9, $10::jsonb, $11::json, $12::json, $13, $14, $15)
RETURNING *
"""
TOUCH = (
    "UPDATE model SET latest_version = greatest(latest_version, $2), updated_at = clock_timestamp() WHERE model_id = $1"
)
WHOLE = """
SELECT v.*, ARRAY (SELECT a.alias FROM alias AS a
                    WHERE a.model_id = v.model_id AND a.version = v.version) AS aliases
  FROM model_version AS v JOIN model AS m USING (model_id)
"""
GET = (
    WHOLE
    + """
 WHERE v.tenant_id = $1 AND v.model_id = $2 AND v.version = CASE WHEN $3 = 0 THEN m.latest_version ELSE $3 END
"""
)
OF_RUN = WHOLE + " WHERE v.tenant_id = $1 AND v.run_id = $2"
HELD = """
SELECT FROM run AS r JOIN run_key AS k USING (run_id)
 WHERE r.run_id = $1 AND k.key = $2 AND r.state = 'RUNNING' FOR SHARE OF r
"""
LIST = (
    WHOLE
    + """
 WHERE v.tenant_id = $1 AND v.model_id = $2 AND ($3::int IS NULL OR v.version < $3) ORDER BY v.version DESC LIMIT $4
"""
)
ASK = """
INSERT INTO alias_request (tenant_id, model_id, version, alias, requested_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""
EXISTS = "SELECT 1 FROM model_version WHERE model_id = $1 AND version = $2"
POINT = """
INSERT INTO alias (tenant_id, model_id, alias, version) VALUES ($1, $2, $3, $4)
ON CONFLICT (model_id, alias) DO UPDATE SET version = excluded.version
"""
REMOVE = "DELETE FROM alias WHERE model_id = $1 AND alias = $2"
RECORD = """
INSERT INTO alias_move (move_id, tenant_id, model_id, alias, from_version, to_version, override_reason, results,
                        moved_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9) RETURNING *
"""
MOVES = """
SELECT * FROM alias_move
 WHERE tenant_id = $1 AND model_id = $2 AND ($3::text IS NULL OR move_id < $3) ORDER BY move_id DESC LIMIT $4
"""


class SqlModelStore(SqlModels):
    """A services.model.domain.registry_ports.ModelStore."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._database = database

    async def add_version(
        self, tenant_id: str, model_id: str, run_id: str, new: NewVersion, aliases: Sequence[str], *, holder: str = ""
    ) -> ModelVersion:
        """Numbers count up without a gap, as the model's row is locked; so is the run's, so that nobody takes it up."""
        async with self._database.transaction(tenant_id) as tx:
            model = await locked(tx, tenant_id, model_id)
            row = await tx.fetchrow(OF_RUN, tenant_id, run_id)
            if row is not None:
                return rows.version(row, row["aliases"])
            if holder and await tx.fetchrow(HELD, run_id, token_key(holder)) is None:
                raise token_stale(run_id)
            number = model.latest_version + 1
            row = await tx.fetchrow(INSERT, tenant_id, model_id, number, run_id, *rows.content(new))
            await tx.execute(TOUCH, model_id, number)
            for alias in aliases:
                await tx.execute(ASK, tenant_id, model_id, number, alias, new.created_by)
            version = _fresh(row)
            await announce(tx, tenant_id, events.version_created(model, version), make_id=new_id)
        return version

    async def version(self, tenant_id: str, model_id: str, version: int) -> ModelVersion:
        """Tells a model that is not there from a version that is not."""
        row = await self._database.fetchrow(GET, tenant_id, model_id, version, tenant=tenant_id)
        if row is None:
            await self.get(tenant_id, model_id)
            raise version_not_found(model_id, version)
        return rows.version(row, row["aliases"])

    async def version_of_run(self, tenant_id: str, run_id: str) -> ModelVersion | None:
        """By the unique run."""
        row = await self._database.fetchrow(OF_RUN, tenant_id, run_id, tenant=tenant_id)
        return rows.version(row, row["aliases"]) if row is not None else None

    async def versions(
        self, tenant_id: str, model_id: str, *, limit: int, before: int | None
    ) -> Sequence[ModelVersion]:
        """Keyset by number."""
        found = await self._database.fetch(LIST, tenant_id, model_id, before, limit, tenant=tenant_id)
        if not found:
            await self.get(tenant_id, model_id)
        return [rows.version(row, row["aliases"]) for row in found]

    async def move(self, tenant_id: str, model_id: str, move: NewMove) -> Model:
        """The check and the move are one, as the model's row is locked."""
        async with self._database.transaction(tenant_id) as tx:
            model = await locked(tx, tenant_id, model_id)
            if move.basis is not None and move.basis != Basis.of(model, move.alias):
                raise BasisChanged
            held = model.aliases.get(move.alias, 0)
            if held == move.version:
                return _unmoved(model, move)
            await _point(tx, model, move)
            made = rows.move(await _recorded(tx, model, move, held))
            await tx.execute(TOUCH, model_id, 0)
            await announce(tx, tenant_id, events.alias_moved(model, made), make_id=new_id)
            return await locked(tx, tenant_id, model_id)

    async def moves(self, tenant_id: str, model_id: str, *, limit: int, before: str | None) -> Sequence[AliasMove]:
        """Keyset by id, which sorts by time."""
        found = await self._database.fetch(MOVES, tenant_id, model_id, before, limit, tenant=tenant_id)
        if not found:
            await self.get(tenant_id, model_id)
        return [rows.move(row) for row in found]


def _fresh(row: Record | None) -> ModelVersion:
    assert row is not None  # noqa: S101 # INSERT ... RETURNING
    return rows.version(row, ())


def _unmoved(model: Model, move: NewMove) -> Model:
    if not move.version:
        raise AliasNotFound(
            f"nothing of model {model.model_id} holds {move.alias}", modelId=model.model_id, alias=move.alias
        )
    return model


async def _point(tx: Connection, model: Model, move: NewMove) -> None:
    if not move.version:
        await tx.execute(REMOVE, model.model_id, move.alias)
        return
    if not await tx.fetchval(EXISTS, model.model_id, move.version):
        raise version_not_found(model.model_id, move.version)
    await tx.execute(POINT, model.tenant_id, model.model_id, move.alias, move.version)


async def _recorded(tx: Connection, model: Model, move: NewMove, held: int) -> Record:
    row = await tx.fetchrow(
        RECORD,
        move.move_id,
        model.tenant_id,
        model.model_id,
        move.alias,
        held,
        move.version,
        move.override_reason,
        rows.results(move.results),
        move.moved_by,
    )
    assert row is not None  # noqa: S101 # INSERT ... RETURNING
    return row
