"""Sees in the database of a live stack how often each task came to an end, whatever anybody says about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from automesh.local.postgres import ROLE, EmbeddedPostgres
from automesh.testing.live import LiveStack

_SETUP = """
CREATE SCHEMA witness;
CREATE TABLE witness.ending (
    sequence bigint GENERATED ALWAYS AS IDENTITY, task_id text, status text, attempt integer, agent_id text
);
CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO witness.ending (task_id, status, attempt, agent_id)
    VALUES (NEW.task_id, NEW.status, NEW.attempt, NEW.agent_id);
    RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER UPDATE ON orchestrator.task FOR EACH ROW
WHEN (NEW.status IN ('COMPLETED', 'FAILED', 'CANCELLED')
      AND (OLD.status, OLD.attempt, OLD.result) IS DISTINCT FROM (NEW.status, NEW.attempt, NEW.result))
EXECUTE FUNCTION witness.note();
"""


class Witness:
    """A trigger that notes every end. Call `begin` once."""

    def __init__(self, live: LiveStack) -> None:
        postgres = EmbeddedPostgres(live.state.folder / "postgres" / "data", live.state.run / "postgres")
        self._dsn = postgres.dsn_of(ROLE, user="postgres")

    def begin(self) -> None:
        """From now on nothing escapes it."""
        self._ask(lambda connection: connection.execute(_SETUP))

    def endings(self, task_id: str) -> list[tuple[str, int]]:
        """Status and attempt of each end of the task, in order."""
        query = "SELECT status, attempt FROM witness.ending WHERE task_id = $1 ORDER BY sequence"
        return [tuple(row) for row in self._ask(lambda connection: connection.fetch(query, task_id))]

    def counts(self) -> dict[str, int]:
        """How often each task has ended."""
        query = "SELECT task_id, count(*) FROM witness.ending GROUP BY task_id"
        return dict(map(tuple, self._ask(lambda connection: connection.fetch(query))))

    def _ask(self, what: Callable[[Any], Awaitable[Any]]) -> Any:
        async def ask() -> Any:
            connection = await asyncpg.connect(self._dsn)
            try:
                return await what(connection)
            finally:
                await connection.close()

        return asyncio.run(ask())
