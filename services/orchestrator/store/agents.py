"""Agents in SQL. Registration also makes their task types known."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

import orjson

from automesh.storage.postgres import ENGINE, Database, Record
from services.orchestrator.domain.agents import Agent, Capability, NewAgent, Owner, agent_not_found

REGISTER = """
INSERT INTO agent AS a (agent_id, tenant_id, workload, name, capabilities, slots, version)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7)
ON CONFLICT (agent_id) DO UPDATE
   SET name = excluded.name, capabilities = excluded.capabilities, slots = excluded.slots, version = excluded.version,
       last_seen_at = now()
 WHERE a.tenant_id = excluded.tenant_id AND a.workload = excluded.workload
RETURNING agent_id
"""
LEARN_TYPES = "INSERT INTO task_type (tenant_id, type) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING"
ATTACH = """
UPDATE agent a SET session_id = $4, draining = false, last_seen_at = now()
 WHERE agent_id = $1 AND tenant_id = $2 AND workload = $3 RETURNING *
"""
DETACH = "UPDATE agent SET session_id = '', last_seen_at = now() WHERE agent_id = $1 AND session_id = $2"
DRAIN = "UPDATE agent SET draining = true, last_seen_at = now() WHERE agent_id = $1 AND session_id = $2"
SEEN = "UPDATE agent SET last_seen_at = now() WHERE agent_id = ANY ($1::text[])"
LIST = """
SELECT a.*, a.session_id <> '' AND a.last_seen_at > now() - $4::interval AS connected,
       (SELECT count(*) FROM task t WHERE t.agent_id = a.agent_id AND t.status IN ('OFFERED', 'RUNNING')
                                      AND (a.tenant_id <> '' OR t.tenant_id = $1)) AS leases
  FROM agent a
 WHERE a.tenant_id IN ('', $1) AND ($3::text IS NULL OR a.agent_id > $3)
 ORDER BY a.agent_id LIMIT $2
"""
FORGET = """
WITH gone AS (DELETE FROM agent a WHERE last_seen_at < now() - $1::interval
    AND NOT EXISTS (SELECT FROM task t WHERE t.agent_id = a.agent_id AND t.status IN ('OFFERED', 'RUNNING'))
RETURNING 1)
SELECT count(*) FROM gone
"""


class SqlAgentStore:
    """A services.orchestrator.domain.ports.AgentStore. A tenant sees a platform agent hold only its own tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, agent_id: str, owner: Owner, spec: NewAgent) -> None:
        """Inserts, or updates what is the caller's own."""
        told = orjson.dumps([[capability.type, capability.description] for capability in spec.capabilities]).decode()
        async with self._database.transaction(ENGINE) as tx:
            mine = await tx.fetchval(
                REGISTER, agent_id, owner.tenant_id, owner.workload, spec.name, told, spec.slots, spec.version
            )
            if mine is None:
                raise agent_not_found(agent_id)
            await tx.execute(LEARN_TYPES, owner.tenant_id, list(spec.types))

    async def attach(self, agent_id: str, owner: Owner, session_id: str) -> Agent:
        """The newest stream counts."""
        row = await self._database.fetchrow(
            ATTACH, agent_id, owner.tenant_id, owner.workload, session_id, tenant=ENGINE
        )
        if row is None:
            raise agent_not_found(agent_id)
        return _agent(row, connected=True)

    async def detach(self, agent_id: str, session_id: str) -> None:
        """Only the stream that is still the agent's."""
        await self._database.execute(DETACH, agent_id, session_id, tenant=ENGINE)

    async def drain(self, agent_id: str, session_id: str) -> None:
        """Until it attaches again."""
        await self._database.execute(DRAIN, agent_id, session_id, tenant=ENGINE)

    async def seen(self, agent_ids: Collection[str]) -> None:
        """One statement for all."""
        await self._database.execute(SEEN, list(agent_ids), tenant=ENGINE)

    async def list(self, tenant_id: str, *, limit: int, after: str | None, fresh_for: timedelta) -> Sequence[Agent]:
        """Keyset by id."""
        rows = await self._database.fetch(LIST, tenant_id, limit, after, fresh_for, tenant=tenant_id)
        return [_agent(row, leases=row["leases"], connected=row["connected"]) for row in rows]

    async def forget(self, unseen_for: timedelta) -> int:
        """Those that hold nothing."""
        count: int = await self._database.fetchval(FORGET, unseen_for, tenant=ENGINE)
        return count


def _agent(row: Record, *, leases: int = 0, connected: bool = False) -> Agent:
    told = orjson.loads(row["capabilities"])
    return Agent(
        agent_id=row["agent_id"],
        owner=Owner(row["tenant_id"], row["workload"]),
        spec=NewAgent(
            name=row["name"],
            capabilities=tuple(Capability(task_type, description) for task_type, description in told),
            slots=row["slots"],
            version=row["version"],
        ),
        last_seen_at=row["last_seen_at"],
        session_id=row["session_id"],
        draining=row["draining"],
        leases=leases,
        connected=connected,
    )
