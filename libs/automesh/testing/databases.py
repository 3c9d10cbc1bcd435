"""pytest fixtures: real servers, started once a run. Name this module in `pytest_plugins`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pytest

from automesh.local.postgres import ROLE, EmbeddedPostgres
from automesh.local.redis import EmbeddedRedis
from automesh.storage.postgres import Database
from automesh.testing.memory import folder_in_memory
from automesh.testing.postgres import Owner, PostgresForTests, Steps, owner_on
from automesh.testing.settings import Settings

T = TypeVar("T")

_HASTY = "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n"
"""Nothing has to outlive the machine; the death of a process loses nothing all the same."""

OpenDatabase: TypeAlias = Callable[[str, Steps], Awaitable[Database]]
"""`await open_database("orchestrator", "services.orchestrator.migrations")`"""


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresForTests]:
    """A real PostgreSQL for the whole run: `async with postgres.fresh({...}) as dsn`."""
    dsn = Settings().postgres_dsn
    if dsn:
        given = PostgresForTests(dsn, _run(owner_on(dsn)))
        yield given
        _run(given.sweep())
        return
    with folder_in_memory(tmp_path_factory.mktemp("postgres")) as folder:
        server = EmbeddedPostgres(folder / "data", folder / "run")
        server.prepare()
        (folder / "data" / "postgresql.auto.conf").write_text(_HASTY)  # read after the settings of its own
        server.launch()
        _run(server.ready())
        yield PostgresForTests(server.admin_dsn, Owner(ROLE))
        _run(server.stop())


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis for the whole run; use channels and keys of your own."""
    url = Settings().redis_url
    if url:
        yield url
        return
    folder: Path = tmp_path_factory.mktemp("redis")
    server = EmbeddedRedis(folder, folder / "run")
    server.prepare()
    server.launch()
    yield _run(server.ready())
    _run(server.stop())


@pytest.fixture
async def fresh_dsn(postgres: PostgresForTests) -> AsyncIterator[str]:
    """The DSN of an empty database of this test's own."""
    async with postgres.fresh() as dsn:
        yield dsn


@pytest.fixture
async def open_database(postgres: PostgresForTests) -> AsyncIterator[OpenDatabase]:
    """Opens a clean, migrated database; see `OpenDatabase`."""
    async with AsyncExitStack() as stack:

        async def open_clean(schema: str, steps: Steps) -> Database:
            dsn = await stack.enter_async_context(postgres.fresh({schema: steps}))
            return await stack.enter_async_context(Database.open(dsn, schema=schema))

        yield open_clean


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """In a thread, since a fixture may be asked for by an async one, inside a running loop."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
