"""The tools of tests on a server that is not ours: databases come and go, and row-level security binds."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from automesh.local.postgres import EmbeddedPostgres
from automesh.storage.migrations import Migration
from automesh.storage.postgres import Database
from automesh.testing.postgres import PostgresForTests, owner_on

pytestmark = pytest.mark.postgres

STEPS = [Migration(1, "first", "CREATE TABLE a (id integer)")]


@pytest.fixture
async def given(tmp_path: Path) -> AsyncIterator[PostgresForTests]:
    """A server that asks the roles of others for a password."""
    server = EmbeddedPostgres(tmp_path / "data", tmp_path / "run")
    server.prepare()
    (tmp_path / "data" / "pg_hba.conf").write_text(
        "local all automesh_test_owner scram-sha-256\nlocal all all peer map=embedded\n"
    )
    server.launch()
    await server.ready()
    yield PostgresForTests(server.admin_dsn, await owner_on(server.admin_dsn))
    await server.stop()


async def test_the_code_under_test_is_never_a_superuser(given: PostgresForTests) -> None:
    async with given.fresh({"shop": STEPS}) as dsn, Database.open(dsn, schema="shop") as database:
        assert await database.fetchval("SELECT current_user::text", tenant=None) == "automesh_test_owner"
        assert await database.fetchval("SHOW is_superuser", tenant=None) == "off"
        assert await database.fetchval("SELECT count(*) FROM a", tenant=None) == 0


async def test_a_second_run_takes_the_role_over_with_a_new_password(given: PostgresForTests) -> None:
    again = PostgresForTests(given.admin_dsn, await owner_on(given.admin_dsn))
    async with again.fresh() as dsn, Database.open(dsn, schema="public") as database:
        await database.ping()


async def test_a_sweep_leaves_nothing_of_this_run(given: PostgresForTests) -> None:
    async with given.fresh({"shop": STEPS}):
        pass
    await given.sweep()
    connection = await asyncpg.connect(given.admin_dsn)
    assert await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname LIKE 'automesh_test_%'") == 0
    await connection.close()
