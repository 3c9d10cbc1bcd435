"""Forward-only migrations: numbered SQL files in a package, applied once each, in order, under a lock."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import structlog

from automesh.core.errors import AutomationError, Kind
from automesh.storage.postgres import ENGINE, Connection, Database

log = structlog.get_logger(__name__)

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('automesh.migrations.' || $1, 0))"
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migration (
    version integer PRIMARY KEY CHECK (version > 0),
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_APPLIED = "SELECT version, name, checksum FROM schema_migration ORDER BY version"
_RECORD = "INSERT INTO schema_migration (version, name, checksum) VALUES ($1, $2, $3)"


class MigrationError(AutomationError):
    """The schema and the code do not fit together; starting would risk the data."""

    kind = Kind.PRECONDITION
    reason = "MIGRATION"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step of a schema."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text; line endings do not count, since git may change them."""
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.version:04}_{self.name}"


def load(package: str) -> list[Migration]:
    """The migrations of a package folder such as `services.orchestrator.migrations`, in order."""
    found = []
    for entry in resources.files(package).iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(entry.name)
        if match is None:
            raise MigrationError(f"{package}: {entry.name} is not named like 0001_first_step.sql", file=entry.name)
        found.append(Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    migrations = sorted(found, key=lambda migration: migration.version)
    _check_numbers(migrations, package)
    return migrations


async def migrate(database: Database, migrations: str | Sequence[Migration]) -> int:
    """Brings the schema of `database` up to date and returns its version.

    `migrations` is a package name for `load`, or the steps themselves. Several processes may call this at once: one
    works, the others wait. Each step is one transaction. Raises MigrationError and changes nothing when the database is
    newer than the code, or an applied step was altered.
    """
    steps = load(migrations) if isinstance(migrations, str) else list(migrations)
    _check_numbers(steps, database.schema)
    await _prepare(database)
    while await _apply_next(database, steps):
        pass
    return steps[-1].version if steps else 0


async def _prepare(database: Database) -> None:
    async with database.transaction(None) as tx:
        await _lock(tx, database.schema)
        exists = await tx.fetchval("SELECT to_regnamespace($1) IS NOT NULL", database.schema)
        if not exists:  # asked first: IF NOT EXISTS needs the right to create even when there is nothing to create
            await tx.execute(f'CREATE SCHEMA "{database.schema}"')
        await tx.execute(_TABLE)


async def _apply_next(database: Database, steps: Sequence[Migration]) -> bool:
    async with database.transaction(ENGINE) as tx:  # a step may move the rows of all tenants
        await _lock(tx, database.schema)
        done = await _check_applied(tx, steps, database.schema)
        if done == len(steps):
            return False
        step = steps[done]
        await tx.execute(step.sql)
        await tx.execute(_RECORD, step.version, step.name, step.checksum)
    log.info("migration applied", schema=database.schema, migration=str(step))
    return True


async def _lock(tx: Connection, schema: str) -> None:
    await tx.execute("SET LOCAL statement_timeout = 0")  # the other replica may have a big table to change
    await tx.execute(_LOCK, schema)


async def _check_applied(tx: Connection, steps: Sequence[Migration], schema: str) -> int:
    applied = await tx.fetch(_APPLIED)
    newest = applied[-1]["version"] if applied else 0
    if newest > len(steps):
        raise MigrationError(
            f"schema {schema} is at version {newest} but this code knows only {len(steps)}: "
            "start the newer release, or restore a backup made before the upgrade",
            schema=schema,
            databaseVersion=newest,
            codeVersion=len(steps),
        )
    for row, step in zip(applied, steps, strict=False):
        if row["version"] != step.version:
            raise MigrationError(f"schema {schema} lacks migration {step}", schema=schema, migration=step)
        if row["checksum"] != step.checksum:
            raise MigrationError(
                f"migration {step} of schema {schema} was changed after it was applied: "
                "put the old text back and write a new migration",
                schema=schema,
                migration=step,
            )
    return len(applied)


def _check_numbers(migrations: Sequence[Migration], where: str) -> None:
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise MigrationError(
                f"{where}: expected migration {expected:04} but found {migration}: "
                "numbers start at 0001 and have no gap and no double",
                expected=expected,
                migration=migration,
            )
