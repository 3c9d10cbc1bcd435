"""Clean databases for tests: migrated once, then copied from a template for each test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from automesh.storage.migrations import Migration, migrate
from automesh.storage.postgres import Database

if TYPE_CHECKING:
    AdminConnection: TypeAlias = asyncpg.Connection[asyncpg.Record]

Steps: TypeAlias = str | Sequence[Migration]
"""A package of migrations, or the migrations themselves."""

_PREFIX = "automesh_test_"
_SWEEP = "SELECT datname FROM pg_database WHERE datname LIKE $1"


@dataclass(frozen=True, slots=True)
class Owner:
    """The role of the code under test: no superuser, so that row-level security binds it."""

    name: str
    password: str = ""


class PostgresForTests:
    """One server, many short-lived databases. `admin_dsn` may create databases and roles."""

    def __init__(self, admin_dsn: str, owner: Owner) -> None:
        self.admin_dsn = admin_dsn
        self._owner = owner
        self._run = f"{_PREFIX}{secrets.token_hex(4)}"
        self._count = 0
        self._templates: dict[tuple[tuple[str, Steps], ...], str] = {}

    @asynccontextmanager
    async def fresh(self, schemas: Mapping[str, Steps] | None = None) -> AsyncIterator[str]:
        """The DSN of a database of its own, dropped at the end.

        `schemas` names each schema with its migrations: `{"orchestrator": "services.orchestrator.migrations"}`.
        """
        template = await self._template(schemas or {})
        name = await self._create(template)
        try:
            yield self._dsn(name)
        finally:
            await self._admin(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def sweep(self) -> None:
        """Drops what this run made."""
        async with self._connected() as connection:
            for row in await connection.fetch(_SWEEP, f"{self._run}%"):
                await connection.execute(f'DROP DATABASE IF EXISTS "{row["datname"]}" WITH (FORCE)')

    async def _template(self, schemas: Mapping[str, Steps]) -> str | None:
        if not schemas:
            return None
        key = tuple(
            sorted((schema, steps if isinstance(steps, str) else tuple(steps)) for schema, steps in schemas.items())
        )
        if key not in self._templates:
            name = await self._create(None)
            for schema, steps in schemas.items():
                async with Database.open(self._dsn(name), schema=schema, max_size=1) as database:
                    await migrate(database, steps)
            self._templates[key] = name
        return self._templates[key]

    async def _create(self, template: str | None) -> str:
        self._count += 1
        name = f"{self._run}_{self._count}"
        copied = f'TEMPLATE "{template}"' if template else ""
        await self._admin(f'CREATE DATABASE "{name}" OWNER "{self._owner.name}" {copied}')
        return name

    async def _admin(self, statement: str) -> None:
        async with self._connected() as connection:
            await connection.execute(statement)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AdminConnection]:
        connection = await asyncpg.connect(self.admin_dsn)
        try:
            yield connection
        finally:
            await connection.close()

    def _dsn(self, database: str) -> str:
        parts = urlsplit(self.admin_dsn)
        password = f":{quote(self._owner.password, safe='')}" if self._owner.password else ""
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{self._owner.name}{password}@{host}", path=f"/{database}"))


async def owner_on(admin_dsn: str) -> Owner:
    """Makes the role `automesh_test` on a server that is not ours, with a new password each time."""
    owner = replace(Owner(f"{_PREFIX}owner"), password=secrets.token_urlsafe(16))
    connection = await asyncpg.connect(admin_dsn)
    try:
        known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", owner.name)
        verb = "ALTER" if known else "CREATE"
        await connection.execute(f"{verb} ROLE \"{owner.name}\" LOGIN PASSWORD '{owner.password}'")
        if not await connection.fetchval("SELECT pg_has_role($1, 'MEMBER')", owner.name):
            await connection.execute(f'GRANT "{owner.name}" TO CURRENT_USER')
    finally:
        await connection.close()
    return owner
