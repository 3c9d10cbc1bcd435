"""What the domain needs from outside. Every method may raise Unavailable while the database is away.

Times inside a store come from its own clock (for SQL that of the database), so that replicas cannot disagree.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.orchestrator.domain.agents import Agent, NewAgent, Owner
from services.orchestrator.domain.artifact import Artifact
from services.orchestrator.domain.lease import LeaseKey, LeaseLoss, LeaseRequest, Outcome, Reaped, Report, Settled
from services.orchestrator.domain.task import Draft, LogLine, Status, Task

MAX_LOG_LINES = 10_000
"""A task keeps its last lines; older ones are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuery:
    """A page of tasks, newest first; empty filters let everything pass. `before` is the last id of the page before."""

    limit: int
    before: str | None = None
    statuses: frozenset[Status] = frozenset()
    types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Page:
    """Tasks of a page, and whether more follow. May hold fewer than asked for when they are big."""

    tasks: Sequence[Task]
    more: bool


@dataclass(frozen=True, slots=True)
class Version:
    """Changes whenever something of a task does that a watcher would want to see."""

    revision: int
    log_sequence: int


class TaskStore(Protocol):
    """Tasks, as people see them. Anything of another tenant raises TaskNotFound."""

    async def create(self, draft: Draft, *, request_id: str, queue_limit: int) -> tuple[Task, bool]:
        """Stores a task; False when `request_id` stood for the same task before, which is returned.

        Raises UnknownTaskType, QueueFull, RequestReused.
        """
        ...

    async def get(self, tenant_id: str, task_id: str) -> Task:
        """The task."""
        ...

    async def list(self, tenant_id: str, query: TaskQuery) -> Page:
        """A page of tasks."""
        ...

    async def change(self, tenant_id: str, task_id: str, change: Callable[[Task, datetime], Task]) -> tuple[Task, Task]:
        """Reads, changes and writes one task while nobody else can; returns it as it was and as it is."""
        ...

    async def delete(self, tenant_id: str, task_id: str) -> None:
        """Forgets a task with its lines and artifacts. Raises TaskStillRunning."""
        ...

    async def version(self, tenant_id: str, task_id: str) -> Version:
        """The cheap way to see whether anything changed."""
        ...

    async def lines(self, tenant_id: str, task_id: str, *, after: int, limit: int) -> Sequence[LogLine]:
        """The first lines with a sequence above `after`."""
        ...

    async def forget_requests(self, older_than: timedelta) -> int:
        """Forgets old request ids; returns how many."""
        ...

    async def queue_depth(self, limit: int) -> Mapping[Status, int]:
        """How many tasks wait and run in all, counted up to `limit` each."""
        ...


class LeaseStore(Protocol):
    """Tasks, as agents see them: set statements over all tenants, each fenced by `attempt` and the holder."""

    async def lease(self, request: LeaseRequest, offer_for: timedelta) -> Sequence[Task]:
        """Offers ready tasks, the most urgent first, to the slots of the request."""
        ...

    async def accept(self, lease_keys: Collection[LeaseKey], agent_id: str, lease_ttl: timedelta) -> set[LeaseKey]:
        """The agent has them and works; returns those that are still its own."""
        ...

    async def extend(self, lease_keys: Mapping[LeaseKey, str], lease_ttl: timedelta) -> set[LeaseKey]:
        """The agents (values) live; returns the running leases that are still theirs."""
        ...

    async def withdraw(self, lease_keys: Collection[LeaseKey]) -> int:
        """Takes unaccepted offers back; returns how many."""
        ...

    async def report(self, reports: Sequence[Report]) -> set[LeaseKey]:
        """Stores progress, checkpoints and lines; returns the leases that are still good."""
        ...

    async def settle(self, outcomes: Sequence[Outcome]) -> Sequence[Settled]:
        """Records ends; what is missing in the answer was stale. Repeating a recorded one changes nothing."""
        ...

    async def reap(self, *, limit: int, jitter: float) -> Sequence[Reaped]:
        """Takes back up to `limit` leases that are over."""
        ...

    async def losses(self, lease_keys: Collection[LeaseKey]) -> Mapping[LeaseKey, LeaseLoss]:
        """What happened to leases that are lost."""
        ...

    async def held(self, lease_key: LeaseKey) -> Task:
        """The task of a lease that is still good. Raises LeaseLost."""
        ...


class AgentStore(Protocol):
    """Agents. Anything of another owner raises AgentNotFound."""

    async def register(self, agent_id: str, owner: Owner, spec: NewAgent) -> None:
        """Stores or updates an agent and makes its types known."""
        ...

    async def attach(self, agent_id: str, owner: Owner, session_id: str) -> Agent:
        """The agent has opened a stream."""
        ...

    async def detach(self, agent_id: str, session_id: str) -> None:
        """The stream is closed; nothing happens if the agent has a newer one."""
        ...

    async def drain(self, agent_id: str, session_id: str) -> None:
        """The agent takes no more work."""
        ...

    async def seen(self, agent_ids: Collection[str]) -> None:
        """They were heard of just now."""
        ...

    async def list(self, tenant_id: str, *, limit: int, after: str | None, fresh_for: timedelta) -> Sequence[Agent]:
        """Agents of the tenant and of the platform by id; connected if heard of within `fresh_for`."""
        ...

    async def forget(self, unseen_for: timedelta) -> int:
        """Forgets agents that were not heard of for so long; returns how many."""
        ...


class ArtifactStore(Protocol):
    """What is known of artifacts; their bytes are in Blobs."""

    async def tenant_of(self, lease_key: LeaseKey) -> str:
        """The tenant of a running lease. Raises LeaseLost."""
        ...

    async def reserve(self, blob: str, keep_for: timedelta) -> None:
        """Remembers a blob about to be written, so that it is swept up if it never becomes an artifact."""
        ...

    async def put(self, lease_key: LeaseKey, artifact: Artifact) -> Artifact:
        """Stores or replaces the artifact if the lease is still good. Raises LeaseLost."""
        ...

    async def get(self, tenant_id: str, task_id: str, name: str) -> Artifact:
        """One artifact. Raises ArtifactNotFound."""
        ...

    async def list(self, tenant_id: str, task_id: str, *, limit: int, after: str | None) -> Sequence[Artifact]:
        """Artifacts by name. Raises TaskNotFound."""
        ...

    async def discarded(self, limit: int) -> Sequence[str]:
        """Blobs that nothing points at any more."""
        ...

    async def swept(self, blobs: Collection[str]) -> None:
        """These are gone."""
        ...


class StoredBlob(Protocol):
    """What was stored."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits."""
        ...


class Blobs(Protocol):
    """Encrypted files by name."""

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> StoredBlob:
        """Stores a whole file, or nothing when the chunks raise."""
        ...

    def get(self, name: str) -> AsyncIterator[bytes]:
        """The file in chunks."""
        ...

    async def delete(self, name: str) -> None:
        """Deletes a file; one that is not there is fine."""
        ...


class Meter(Protocol):
    """Counts what happens."""

    def became(self, status: Status) -> None:
        """A task came into this state."""
        ...

    def leased(self, waited_s: float) -> None:
        """A task was offered so long after it was ready."""
        ...

    def depth(self, depth: Mapping[Status, int]) -> None:
        """How many tasks wait and run."""
        ...

    def agents(self, connected: int) -> None:
        """How many agents are connected to this replica."""
        ...
