"""Connections and transactions of PostgreSQL: one schema per service, the tenant set for row-level security.

A table of users' things has a column `tenant_id text NOT NULL CHECK (tenant_id <> '')` and, in its migration:

    ALTER TABLE task ENABLE ROW LEVEL SECURITY;
    ALTER TABLE task FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON task USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

so that a transaction without a tenant sees and writes nothing, and only `ENGINE` reaches all tenants.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from automesh.core.errors import Unavailable
from automesh.storage import faults

if TYPE_CHECKING:
    from asyncpg.transaction import Transaction

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = PoolConnectionProxy[asyncpg.Record]
else:
    Connection = PoolConnectionProxy

Record: TypeAlias = asyncpg.Record

log = structlog.get_logger(__name__)


class _Engine(str):
    """A type of its own, so that the text '*' out of a request or a token never counts as the engine."""

    __slots__ = ()


ENGINE: Final = _Engine("*")
"""The tenant of the engine's own loops: all tenants."""

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SET_TENANT = "SELECT set_config('automesh.tenant', $1, true)"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_CONNECT_LIMIT_S = 10.0
_CLOSE_LIMIT_S = 5.0
_GONE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class Database:
    """A pool of connections, all in one schema. After a restart of PostgreSQL it heals by itself."""

    def __init__(self, pool: Pool, schema: str, *, acquire_limit_s: float = 10.0) -> None:
        self._pool = pool
        self._acquire_limit_s = acquire_limit_s
        self.schema = schema

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        dsn: str,
        *,
        schema: str,
        min_size: int = 1,
        max_size: int = 10,
        wait_s: float = 30.0,
        statement_limit_s: float = 30.0,
        acquire_limit_s: float = 10.0,
    ) -> AsyncIterator[Database]:
        """Connects, waiting at most `wait_s` for a database that is not up yet; closes the pool at the end.

        Raises Unavailable when the wait is over, DatabaseRefused at once when waiting cannot help.
        """
        if not _SCHEMA.fullmatch(schema):
            raise ValueError(f"{schema!r} is not a schema name: lower-case letters, digits and _ only")
        settings = _server_settings(schema, statement_limit_s)
        pool = await _connect(dsn, settings, min_size=min_size, max_size=max_size, wait_s=wait_s)
        try:
            yield cls(pool, schema, acquire_limit_s=acquire_limit_s)
        finally:
            await _close(pool)

    @asynccontextmanager
    async def transaction(self, tenant: str | None) -> AsyncIterator[Connection]:
        """One transaction as `tenant`: committed when the block ends, rolled back when it raises.

        None sees nothing, `ENGINE` everything. Raises Unavailable, Contended, DatabaseSlow.
        """
        connection, transaction = await self._begin(_setting(tenant))
        try:
            with faults.while_working():
                yield connection
                with faults.while_connecting():
                    await transaction.commit()
        except BaseException as error:
            if faults.is_lost(error.__cause__):
                _drop(connection)
            else:
                await _roll_back(transaction)
            raise
        finally:
            await self._release(connection)

    async def fetch(self, query: str, *args: object, tenant: str | None) -> list[Record]:
        """All rows of one query, in a transaction of its own."""
        async with self.transaction(tenant) as tx:
            return await tx.fetch(query, *args)

    async def fetchrow(self, query: str, *args: object, tenant: str | None) -> Record | None:
        """The first row of one query, in a transaction of its own."""
        async with self.transaction(tenant) as tx:
            return await tx.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object, tenant: str | None) -> Any:
        """The first column of the first row of one query, in a transaction of its own."""
        async with self.transaction(tenant) as tx:
            return await tx.fetchval(query, *args)

    async def execute(self, query: str, *args: object, tenant: str | None) -> str:
        """Runs one statement in a transaction of its own; returns its tag, such as 'UPDATE 3'."""
        async with self.transaction(tenant) as tx:
            return await tx.execute(query, *args)

    async def ping(self) -> None:
        """Raises Unavailable unless the database answers."""
        await self.execute("SELECT 1", tenant=None)

    async def _begin(self, tenant: str) -> tuple[Connection, Transaction]:
        tries = self._pool.get_max_size() + 1  # all that are idle may have died unnoticed; the last one is fresh
        for attempt in range(1, tries + 1):
            with faults.while_connecting():
                connection = await self._pool.acquire(timeout=self._acquire_limit_s)
                try:
                    return connection, await _start(connection, tenant)
                except BaseException as error:
                    lost = faults.is_lost(error)
                    if lost:
                        _drop(connection)
                    await self._release(connection)
                    if attempt == tries or not lost:
                        raise
        raise AssertionError("unreachable: the last try returns or raises")

    async def _release(self, connection: Connection) -> None:
        with suppress(*_GONE):
            await self._pool.release(connection)


async def _start(connection: Connection, tenant: str) -> Transaction:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(_SET_TENANT, tenant)
    except BaseException:
        await _roll_back(transaction)
        raise
    return transaction


def _drop(connection: Connection) -> None:
    """Keeps the pool from lending a dead connection again: its end may not have been noticed yet."""
    with suppress(*_GONE):
        connection.terminate()


async def _roll_back(transaction: Transaction) -> None:
    with suppress(*_GONE):  # without a connection it is rolled back already
        await transaction.rollback()


def _setting(tenant: str | None) -> str:
    if tenant == ENGINE and not isinstance(tenant, _Engine):
        raise ValueError("'*' is no tenant; the engine itself passes automesh.storage.postgres.ENGINE")
    return tenant or ""


def _server_settings(schema: str, statement_limit_s: float) -> dict[str, str]:
    return {
        "application_name": f"automesh-{schema}",
        "search_path": schema,
        "timezone": "UTC",
        "jit": "off",  # our statements are short: compiling them costs more than it saves
        "statement_timeout": f"{round(statement_limit_s * 1000)}",
        "idle_in_transaction_session_timeout": "60000",  # a lost client must not hold locks for ever
    }


async def _connect(dsn: str, settings: dict[str, str], *, min_size: int, max_size: int, wait_s: float) -> Pool:
    deadline, pause_s = time.monotonic() + wait_s, _FIRST_PAUSE_S
    while True:
        try:
            with faults.while_connecting():
                return await _make_pool(dsn, settings, min_size, max_size)
        except Unavailable as error:
            if time.monotonic() + pause_s > deadline:
                raise faults.unavailable(f"{error.message} (waited {wait_s:g} s)") from error
            log.info("waiting for the database", why=error.message, pause_s=pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


async def _make_pool(dsn: str, settings: dict[str, str], min_size: int, max_size: int) -> Pool:
    pool: Pool = asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        timeout=_CONNECT_LIMIT_S,
        server_settings=settings,
        reset=_keep_session,
    )
    try:
        await pool
    except ValueError as error:  # a DSN that cannot be read
        raise faults.DatabaseRefused(f"the database DSN is not usable: {error}") from error
    except BaseException:
        pool.terminate()
        raise
    return pool


async def _keep_session(_: object) -> None:
    """Saves a round trip a transaction: nothing here outlives one, as settings and locks are transaction-local."""


async def _close(pool: Pool) -> None:
    try:
        await asyncio.wait_for(pool.close(), _CLOSE_LIMIT_S)
    except _GONE:  # TimeoutError is an OSError
        pool.terminate()
