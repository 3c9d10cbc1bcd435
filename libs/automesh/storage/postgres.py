"""Connections and transactions of PostgreSQL: one schema per service, the tenant set for row-level security.

A table of users' things has a column `tenant_id text NOT NULL CHECK (tenant_id <> '')` and, in its migration:

    ALTER TABLE task ENABLE ROW LEVEL SECURITY;
    ALTER TABLE task FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON task USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));

so that a transaction without a tenant sees and writes nothing, and only `ENGINE` reaches all tenants.

The setting belongs to the session, and each connection remembers whose it is. The engine has connections of its own, so
that a single statement is one round trip: no BEGIN, no SET, no COMMIT.
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

from automesh.core.backoff import Backoff
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

PROBE_AFTER_S = 1.0
"""A connection that was idle for so long is tried out before a statement that must not run twice is sent over it."""

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SET_TENANT = "SELECT set_config('automesh.tenant', $1, false)"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_CONNECT_LIMIT_S = 10.0
_CLOSE_LIMIT_S = 5.0
_GONE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class _Session(asyncpg.Connection):
    """A connection that knows which tenant its session belongs to; None at first, and while that is being changed."""

    __slots__ = ("tenant", "used_at")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tenant: str | None = None
        self.used_at = 0.0

    async def become(self, tenant: str, *, probe_after_s: float) -> None:
        """Makes the session that tenant's. One that lay idle for long may be dead: it is asked in any case."""
        idle_s = time.monotonic() - self.used_at
        if self.tenant != tenant or idle_s >= probe_after_s:
            self.tenant = None  # whatever happens now, nobody may take the session for what it was
            await self.execute(_SET_TENANT, tenant)
            self.tenant = tenant
        self.used_at = time.monotonic()


class Database:
    """Connections that are all in one schema: at most `max_size` for tenants, and as many for the engine.

    After a restart of PostgreSQL it heals by itself.
    """

    def __init__(
        self,
        tenants: Pool,
        engine: Pool,
        schema: str,
        *,
        acquire_limit_s: float = 10.0,
        probe_after_s: float = PROBE_AFTER_S,
    ) -> None:
        self._tenants, self._engine = tenants, engine
        self._acquire_limit_s, self._probe_after_s = acquire_limit_s, probe_after_s
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
        probe_after_s: float = PROBE_AFTER_S,
    ) -> AsyncIterator[Database]:
        """Connects, waiting at most `wait_s` for a database that is not up yet; closes the pool at the end.

        Raises Unavailable when the wait is over, DatabaseRefused at once when waiting cannot help.
        """
        if not _SCHEMA.fullmatch(schema):
            raise ValueError(f"{schema!r} is not a schema name: lower-case letters, digits and _ only")
        settings = _server_settings(schema, statement_limit_s)
        tenants = await _connect(dsn, settings, min_size=min_size, max_size=max_size, wait_s=wait_s)
        try:
            engine = await _connect(dsn, settings, min_size=0, max_size=max_size, wait_s=wait_s)
            try:
                yield cls(tenants, engine, schema, acquire_limit_s=acquire_limit_s, probe_after_s=probe_after_s)
            finally:
                await _close(engine)
        finally:
            await _close(tenants)

    @asynccontextmanager
    async def transaction(self, tenant: str | None) -> AsyncIterator[Connection]:
        """One transaction as `tenant`: committed when the block ends, rolled back when it raises.

        None sees nothing, `ENGINE` everything. Raises Unavailable, Contended, DatabaseSlow.
        """
        async with self._connection(tenant, begin=True) as (connection, transaction):
            try:
                yield connection
                with faults.while_connecting():
                    await transaction.commit()
            except BaseException as error:
                if not _is_lost(error):
                    await _roll_back(transaction)
                raise

    async def fetch(self, query: str, *args: object, tenant: str | None) -> list[Record]:
        """All rows of one query, which is a transaction of its own."""
        async with self._connection(tenant) as (connection, _):
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: object, tenant: str | None) -> Record | None:
        """The first row of one query, which is a transaction of its own."""
        async with self._connection(tenant) as (connection, _):
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object, tenant: str | None) -> Any:
        """The first column of the first row of one query, which is a transaction of its own."""
        async with self._connection(tenant) as (connection, _):
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: object, tenant: str | None) -> str:
        """Runs one statement, which is a transaction of its own; returns its tag, such as 'UPDATE 3'."""
        async with self._connection(tenant) as (connection, _):
            return await connection.execute(query, *args)

    async def ping(self) -> None:
        """Raises Unavailable unless the database answers."""
        await self.execute("SELECT 1", tenant=None)

    @asynccontextmanager
    async def _connection(
        self, tenant: str | None, *, begin: bool = False
    ) -> AsyncIterator[tuple[Connection, Transaction]]:
        """A connection whose session is the tenant's, and a transaction on it: begun, or else unused."""
        setting = _setting(tenant)
        pool = self._engine if setting == ENGINE else self._tenants
        connection, transaction = await self._take(pool, setting, begin=begin)
        try:
            with faults.while_working():
                yield connection, transaction
        except BaseException as error:
            if _is_lost(error):
                _drop(connection)
            raise
        finally:
            await _give_back(pool, connection)

    async def _take(self, pool: Pool, tenant: str, *, begin: bool) -> tuple[Connection, Transaction]:
        tries = pool.get_max_size() + 1  # all that are idle may have died unnoticed; the last one is fresh
        for attempt in range(1, tries + 1):
            with faults.while_connecting():
                connection: Any = await pool.acquire(timeout=self._acquire_limit_s)
                try:
                    await connection.become(tenant, probe_after_s=self._probe_after_s)
                    transaction = connection.transaction()
                    if begin:
                        await transaction.start()
                except BaseException as error:
                    lost = _is_lost(error)
                    if lost:
                        _drop(connection)
                    await _give_back(pool, connection)
                    if attempt == tries or not lost:
                        raise
                else:
                    return connection, transaction
        raise AssertionError("unreachable: the last try returns or raises")


def row_count(status: str) -> int:
    """The rows that a statement touched, of what `execute` says: 3 of "DELETE 3"."""
    return int(status.rpartition(" ")[2])


def _is_lost(error: BaseException) -> bool:
    return faults.is_lost(error) or faults.is_lost(error.__cause__)


def _drop(connection: Connection) -> None:
    """Keeps the pool from lending a dead connection again: its end may not have been noticed yet."""
    with suppress(*_GONE):
        connection.terminate()


async def _give_back(pool: Pool, connection: Connection) -> None:
    with suppress(*_GONE):
        await pool.release(connection)


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
    deadline = time.monotonic() + wait_s
    backoff = Backoff(first_s=_FIRST_PAUSE_S, most_s=_LONGEST_PAUSE_S)
    while True:
        try:
            with faults.while_connecting():
                return await _make_pool(dsn, settings, min_size, max_size)
        except Unavailable as error:
            pause_s = backoff.next_s()
            if time.monotonic() + pause_s > deadline:
                raise faults.unavailable(f"{error.message} (waited {wait_s:g} s)") from error
            log.info("waiting for the database", why=error.message, pause_s=pause_s)
        await asyncio.sleep(pause_s)


async def _make_pool(dsn: str, settings: dict[str, str], min_size: int, max_size: int) -> Pool:
    pool: Pool = asyncpg.create_pool(
        dsn,
        connection_class=_Session,
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
    """Saves a round trip: all that outlives a transaction is the tenant, and the connection knows it."""


async def _close(pool: Pool) -> None:
    try:
        await asyncio.wait_for(pool.close(), _CLOSE_LIMIT_S)
    except _GONE:  # TimeoutError is an OSError
        pool.terminate()
