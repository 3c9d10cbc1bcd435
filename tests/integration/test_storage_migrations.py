"""Migrations on a real PostgreSQL: old schemas, new schemas, altered ones, two replicas at once."""

import asyncio
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from automesh.storage.migrations import Migration, MigrationError, load, migrate
from automesh.storage.postgres import ENGINE, Database
from automesh.testing.postgres import PostgresForTests

pytestmark = pytest.mark.postgres

FIRST = Migration(1, "first", "CREATE TABLE a (id integer)")
SECOND = Migration(2, "second", "CREATE TABLE b (id integer); INSERT INTO b VALUES (1)")
BROKEN = Migration(2, "broken", "CREATE TABLE half (id integer); SELECT 1/0")

MakePackage = Callable[[dict[str, str]], str]


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePackage:
    """Makes an importable package of such files and returns its name."""
    numbers = itertools.count()
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(files: dict[str, str]) -> str:
        name = f"migrations_under_test_{next(numbers)}"
        folder = tmp_path / name
        folder.mkdir()
        for file, text in {"__init__.py": "", **files}.items():
            (folder / file).write_text(text)
        sys.modules.pop(name, None)
        return name

    return make


async def applied(database: Database) -> list[str]:
    rows = await database.fetch("SELECT version, name FROM schema_migration ORDER BY version", tenant=None)
    return [f"{row['version']:04}_{row['name']}" for row in rows]


async def test_an_empty_database_gets_the_schema_and_all_steps(fresh_dsn: str, make_package: MakePackage) -> None:
    package = make_package({"0002_second.sql": SECOND.sql, "0001_first.sql": FIRST.sql, "notes.txt": "no migration"})
    async with Database.open(fresh_dsn, schema="shop") as database:
        assert await migrate(database, package) == 2
        assert await applied(database) == ["0001_first", "0002_second"]
        assert await database.fetchval("SELECT count(*) FROM shop.b", tenant=None) == 1


async def test_a_second_run_changes_nothing(fresh_dsn: str) -> None:
    async with Database.open(fresh_dsn, schema="shop") as database:
        await migrate(database, [FIRST, SECOND])
        before = await database.fetch("SELECT * FROM schema_migration", tenant=None)
        assert await migrate(database, [FIRST, SECOND]) == 2
        assert await database.fetch("SELECT * FROM schema_migration", tenant=None) == before


async def test_an_older_schema_is_brought_up_to_date_and_keeps_its_rows(fresh_dsn: str) -> None:
    async with Database.open(fresh_dsn, schema="shop") as database:
        await migrate(database, [FIRST])
        await database.execute("INSERT INTO a VALUES (7)", tenant=None)
        assert await migrate(database, [FIRST, SECOND]) == 2
        assert await database.fetchval("SELECT id FROM a", tenant=None) == 7


async def test_a_database_newer_than_the_code_is_refused_with_both_versions(fresh_dsn: str) -> None:
    async with Database.open(fresh_dsn, schema="shop") as database:
        await migrate(database, [FIRST, SECOND])
        with pytest.raises(MigrationError, match="version 2 but this code knows only 1") as raised:
            await migrate(database, [FIRST])
    assert raised.value.metadata == {"schema": "shop", "databaseVersion": "2", "codeVersion": "1"}


async def test_a_step_altered_after_it_was_applied_is_refused(fresh_dsn: str) -> None:
    altered = Migration(1, "first", FIRST.sql + " -- altered")
    async with Database.open(fresh_dsn, schema="shop") as database:
        await migrate(database, [FIRST])
        with pytest.raises(MigrationError, match="0001_first of schema shop was changed"):
            await migrate(database, [altered, SECOND])
        assert await applied(database) == ["0001_first"]


async def test_line_endings_do_not_alter_a_step(fresh_dsn: str) -> None:
    unix, windows = "CREATE TABLE a (\n id integer\n)", "CREATE TABLE a (\r\n id integer\r\n)"
    async with Database.open(fresh_dsn, schema="shop") as database:
        await migrate(database, [Migration(1, "first", unix)])
        assert await migrate(database, [Migration(1, "first", windows)]) == 1


async def test_a_record_with_a_hole_is_refused(fresh_dsn: str) -> None:
    async with Database.open(fresh_dsn, schema="shop") as database:
        await migrate(database, [FIRST, SECOND])
        await database.execute("DELETE FROM schema_migration WHERE version = 1", tenant=None)
        with pytest.raises(MigrationError, match="lacks migration 0001_first"):
            await migrate(database, [FIRST, SECOND])


async def test_a_step_that_fails_leaves_nothing_of_itself_and_all_before_it(fresh_dsn: str) -> None:
    async with Database.open(fresh_dsn, schema="shop") as database:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await migrate(database, [FIRST, BROKEN])
        assert await applied(database) == ["0001_first"]
        assert await database.fetchval("SELECT to_regclass('half')", tenant=None) is None
        assert await migrate(database, [FIRST, SECOND]) == 2


async def test_replicas_that_start_at_once_apply_each_step_once(fresh_dsn: str) -> None:
    steps = [FIRST, SECOND, Migration(3, "third", "INSERT INTO b VALUES (2)")]

    async def start_replica() -> int:
        async with Database.open(fresh_dsn, schema="shop") as database:
            return await migrate(database, steps)

    assert await asyncio.gather(*(start_replica() for _ in range(5))) == [3] * 5
    async with Database.open(fresh_dsn, schema="shop") as database:
        assert await database.fetchval("SELECT count(*) FROM b", tenant=None) == 2


async def test_services_in_one_database_do_not_touch_each_other(fresh_dsn: str) -> None:
    for schema in ("shop", "library"):
        async with Database.open(fresh_dsn, schema=schema) as database:
            await migrate(database, [FIRST])
            assert await applied(database) == ["0001_first"]


async def test_a_step_may_move_the_rows_of_all_tenants(fresh_dsn: str) -> None:
    guarded = Migration(
        1,
        "guarded",
        """
        CREATE TABLE c (tenant_id text);
        INSERT INTO c VALUES ('x'), ('y');
        ALTER TABLE c ENABLE ROW LEVEL SECURITY;
        ALTER TABLE c FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON c USING ((SELECT current_setting('automesh.tenant', true)) IN (tenant_id, '*'));
        """,
    )
    async with Database.open(fresh_dsn, schema="shop") as database:
        await migrate(database, [guarded, Migration(2, "rename", "UPDATE c SET tenant_id = tenant_id || '2'")])
        rows = await database.fetch("SELECT tenant_id FROM c ORDER BY 1", tenant=ENGINE)
        assert [row["tenant_id"] for row in rows] == ["x2", "y2"]


async def test_no_steps_at_all_is_version_zero(fresh_dsn: str) -> None:
    async with Database.open(fresh_dsn, schema="shop") as database:
        assert await migrate(database, []) == 0


async def test_a_template_is_migrated_once_and_its_copies_are_apart(postgres: PostgresForTests) -> None:
    for _ in range(2):
        async with postgres.fresh({"shop": [FIRST, SECOND]}) as dsn:
            async with Database.open(dsn, schema="shop") as database:
                assert await database.execute("DELETE FROM b", tenant=None) == "DELETE 1"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["0001_first.sql", "0003_third.sql"], "expected migration 0002 but found 0003_third"),
        (["0002_second.sql"], "expected migration 0001 but found 0002_second"),
        (["0001_first.sql", "0001_again.sql"], "expected migration 0002 but found 0001"),
        (["first.sql"], "first.sql is not named like 0001_first_step.sql"),
    ],
)
def test_files_are_numbered_without_gap_or_double(make_package: MakePackage, files: list[str], message: str) -> None:
    package = make_package(dict.fromkeys(files, "SELECT 1"))
    with pytest.raises(MigrationError, match=message):
        load(package)
