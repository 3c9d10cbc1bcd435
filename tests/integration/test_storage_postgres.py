"""The pool, its transactions and its tenants, on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from automesh.core.errors import Unavailable, ValidationError
from automesh.local.postgres import EmbeddedPostgres
from automesh.storage.faults import Contended, DatabaseRefused, DatabaseSlow
from automesh.storage.migrations import Migration
from automesh.storage.postgres import ENGINE, Database
from automesh.testing.databases import OpenDatabase

pytestmark = pytest.mark.postgres

LIMIT_S = 20
NOTES = [
    Migration(
        1,
        "notes",
        """
        CREATE TABLE note (
            tenant_id text NOT NULL CHECK (tenant_id <> ''),
            note_id integer PRIMARY KEY,
            text text NOT NULL
        );
        ALTER TABLE note ENABLE ROW LEVEL SECURITY;
        ALTER TABLE note FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON note USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
        """,
    )
]
ADD = "INSERT INTO note (tenant_id, note_id, text) VALUES ($1, $2, $3)"
TEXTS = "SELECT text FROM note ORDER BY note_id"


@pytest.fixture
async def database(open_database: OpenDatabase) -> Database:
    """Two notes, of tenants a and b."""
    database = await open_database("notes", NOTES)
    await database.execute(ADD, "a", 1, "of a", tenant="a")
    await database.execute(ADD, "b", 2, "of b", tenant="b")
    return database


async def texts(database: Database, tenant: str | None) -> list[str]:
    return [row["text"] for row in await database.fetch(TEXTS, tenant=tenant)]


async def test_a_tenant_sees_its_own_rows_only(database: Database) -> None:
    assert await texts(database, "a") == ["of a"]
    assert await texts(database, "b") == ["of b"]


async def test_the_engine_sees_the_rows_of_all_tenants(database: Database) -> None:
    assert await texts(database, ENGINE) == ["of a", "of b"]


@pytest.mark.parametrize("tenant", [None, "", "c"])
async def test_nobody_in_particular_sees_nothing(database: Database, tenant: str | None) -> None:
    assert await texts(database, tenant) == []


async def test_a_star_out_of_a_request_is_not_the_engine(database: Database) -> None:
    with pytest.raises(ValueError, match="no tenant"):
        await texts(database, "".join(["*"]))


async def test_a_tenant_cannot_write_a_row_of_another(database: Database) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute(ADD, "b", 3, "forged", tenant="a")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute(ADD, "a", 3, "by nobody", tenant=None)
    assert await database.execute("UPDATE note SET text = 'x' WHERE note_id = 2", tenant="a") == "UPDATE 0"


async def test_the_tenant_of_one_transaction_does_not_leak_into_the_next(fresh_dsn: str) -> None:
    async with Database.open(fresh_dsn, schema="public", max_size=1) as database:
        async with database.transaction(ENGINE) as tx:
            assert await tx.fetchval("SELECT current_setting('automesh.tenant')") == "*"
        async with database.transaction(None) as tx:
            assert await tx.fetchval("SELECT current_setting('automesh.tenant')") == ""


async def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    async def write_and_raise() -> None:
        async with database.transaction("a") as tx:
            await tx.execute(ADD, "a", 3, "unfinished")
            raise KeyError

    with pytest.raises(KeyError):
        await write_and_raise()
    assert await texts(database, "a") == ["of a"]


async def test_a_cancelled_transaction_leaves_nothing_and_gives_its_connection_back(database: Database) -> None:
    began = asyncio.Event()

    async def write_and_wait() -> None:
        async with database.transaction("a") as tx:
            await tx.execute(ADD, "a", 3, "unfinished")
            began.set()
            await tx.execute("SELECT pg_sleep(5)")  # waited out where the request to cancel comes before the query

    for _ in range(12):  # more often than the pool has connections
        began.clear()
        task = asyncio.create_task(write_and_wait())
        await asyncio.wait_for(began.wait(), LIMIT_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
    assert await texts(database, "a") == ["of a"]


async def test_savepoints_work_inside_a_transaction(database: Database) -> None:
    async with database.transaction("a") as tx:
        with pytest.raises(asyncpg.UniqueViolationError):
            async with tx.transaction():
                await tx.execute(ADD, "a", 1, "double")
        await tx.execute(ADD, "a", 3, "kept")
    assert await texts(database, "a") == ["of a", "kept"]


async def test_the_shortcuts_return_rows_a_row_a_value_and_a_tag(database: Database) -> None:
    row = await database.fetchrow("SELECT note_id, text FROM note", tenant="a")
    assert row is not None
    assert dict(row) == {"note_id": 1, "text": "of a"}
    assert await database.fetchrow(TEXTS, tenant=None) is None
    assert await database.fetchval("SELECT count(*) FROM note", tenant="b") == 1
    assert await database.execute("DELETE FROM note", tenant="b") == "DELETE 1"


async def test_the_loser_of_a_deadlock_is_contended(database: Database) -> None:
    both_hold_one = asyncio.Barrier(2)

    async def lock(*note_ids: int) -> None:
        async with database.transaction(ENGINE) as tx:
            await tx.execute("SELECT FROM note WHERE note_id = $1 FOR UPDATE", note_ids[0])
            await both_hold_one.wait()
            await tx.execute("SELECT FROM note WHERE note_id = $1 FOR UPDATE", note_ids[1])

    async with asyncio.timeout(LIMIT_S):
        results = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert {type(result) for result in results} == {Contended, type(None)}


async def test_a_statement_over_the_limit_is_stopped_and_says_so(fresh_dsn: str) -> None:
    async with Database.open(fresh_dsn, schema="public", statement_limit_s=0.05) as database:
        with pytest.raises(DatabaseSlow):
            await database.fetchval("SELECT pg_sleep(60)", tenant=None)
        await database.ping()


async def test_a_pool_that_is_busy_says_so_in_time(fresh_dsn: str) -> None:
    async with Database.open(fresh_dsn, schema="public", max_size=1, acquire_limit_s=0.05) as database:
        async with database.transaction(None):
            with pytest.raises(Unavailable, match="no connection"):
                await database.ping()
        await database.ping()


async def test_a_text_with_a_nul_character_is_the_fault_of_the_request(database: Database) -> None:
    with pytest.raises(ValidationError, match="NUL"):
        await database.execute("SELECT $1::text", "a\x00b", tenant="a")
    with pytest.raises(ValidationError, match="NUL"):
        await database.execute("SELECT $1::jsonb", '{"a": "\\u0000"}', tenant="a")


async def test_an_error_of_the_caller_passes_through_unchanged(database: Database) -> None:
    with pytest.raises(FileNotFoundError):
        async with database.transaction("a"):
            Path("/nowhere/at/all").read_text()  # noqa: ASYNC240 the point is its error


async def test_a_query_that_is_wrong_in_itself_is_not_unavailable(database: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await database.fetch("SELECT * FROM no_such_table", tenant=None)
    with pytest.raises(asyncpg.InterfaceError):
        await database.fetch("SELECT $1::int", tenant=None)


@pytest.mark.parametrize("dsn", ["nonsense", "mysql://x/y", "postgresql://h:port/x"])
async def test_a_dsn_that_cannot_be_read_is_refused_at_once(dsn: str) -> None:
    with pytest.raises(DatabaseRefused):
        async with Database.open(dsn, schema="public"):
            pass


async def test_a_database_that_does_not_exist_is_refused_at_once(fresh_dsn: str) -> None:
    with pytest.raises(DatabaseRefused, match="does not exist"):
        async with Database.open(urlsplit(fresh_dsn)._replace(path="/no_such").geturl(), schema="public"):
            pass


@pytest.mark.parametrize("schema", ["", "Notes", "a-b", 'x"; DROP', "1a"])
async def test_a_schema_name_is_a_plain_word(schema: str) -> None:
    with pytest.raises(ValueError, match="schema name"):
        async with Database.open("postgresql://localhost/x", schema=schema):
            pass


@pytest.mark.parametrize("dsn", ["postgresql://x@/y?host=/nowhere", "postgresql://x@127.0.0.1:1/y"])
async def test_a_database_that_never_comes_is_unavailable_after_the_wait(dsn: str) -> None:
    with pytest.raises(Unavailable, match=r"is it running\?.*waited 0.2 s") as raised:
        async with Database.open(dsn, schema="public", wait_s=0.2):
            pass
    assert raised.value.retry_after is not None


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server that a test may stop and kill."""
    server = EmbeddedPostgres(tmp_path / "data", tmp_path / "run")
    yield server
    await server.stop()


async def test_opening_waits_for_a_database_that_is_still_starting(own_server: EmbeddedPostgres) -> None:
    async def use() -> None:
        async with Database.open(own_server.dsn, schema="public", wait_s=LIMIT_S) as database:
            await database.ping()

    waiting = asyncio.create_task(use())
    await own_server.start()
    await asyncio.wait_for(waiting, LIMIT_S)


async def test_the_pool_heals_after_a_restart(own_server: EmbeddedPostgres) -> None:
    async with Database.open(await own_server.start(), schema="public", min_size=5) as database:
        await database.ping()
        await own_server.stop()
        with pytest.raises(Unavailable):
            await database.ping()
        await own_server.start()
        await asyncio.gather(*(database.ping() for _ in range(10)))


KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'automesh'"


async def test_connections_that_were_killed_while_idle_go_unnoticed(own_server: EmbeddedPostgres) -> None:
    dsn = await own_server.start()
    async with Database.open(dsn, schema="public", min_size=3, probe_after_s=0) as database:
        admin = await asyncpg.connect(own_server.admin_dsn)
        for _ in range(15):  # between a server's last words and the end of its connection there is a moment to hit
            await admin.execute(KILL)
            await database.ping()
        await admin.close()


async def test_connections_that_were_killed_at_work_are_unavailable_and_nothing_else(
    own_server: EmbeddedPostgres,
) -> None:
    async with Database.open(await own_server.start(), schema="public") as database:
        admin = await asyncpg.connect(own_server.admin_dsn)

        async def work_through_a_kill() -> None:
            async with database.transaction(None) as tx:
                await admin.execute(KILL)
                await tx.execute("SELECT 1")

        for _ in range(15):
            with pytest.raises(Unavailable, match="lost"):
                await work_through_a_kill()
        await database.ping()
        await admin.close()


async def test_a_restart_in_the_middle_of_a_transaction_is_unavailable(own_server: EmbeddedPostgres) -> None:
    async with Database.open(await own_server.start(), schema="public") as database:

        async def work_through_a_stop() -> None:
            async with database.transaction(None) as tx:
                await own_server.stop()
                await tx.execute("SELECT 1")

        with pytest.raises(Unavailable, match="lost"):
            await work_through_a_stop()


async def test_too_many_connections_is_unavailable_and_says_what_to_raise(own_server: EmbeddedPostgres) -> None:
    await own_server.start()
    admin = await asyncpg.connect(own_server.admin_dsn)
    await admin.execute("ALTER ROLE automesh CONNECTION LIMIT 1")
    held = await asyncpg.connect(own_server.dsn)
    with pytest.raises(Unavailable, match="too many connections"):
        async with Database.open(own_server.dsn, schema="public", wait_s=0.1):
            pass
    await held.close()
    await admin.close()
