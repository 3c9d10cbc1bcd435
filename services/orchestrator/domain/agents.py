"""Agents: who offers to work, and on what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from automesh.core.errors import ValidationError
from services.orchestrator.domain.errors import AgentNotFound
from services.orchestrator.domain.spec import check_type

MAX_NAME, MAX_VERSION, MAX_TEXT = 128, 128, 1024
MAX_CAPABILITIES = 100
MAX_SLOTS = 1000


@dataclass(frozen=True, slots=True)
class Capability:
    """A kind of work an agent can do."""

    type: str
    description: str = ""

    def __post_init__(self) -> None:
        check_type(self.type, field="capabilities.type")
        _check_length(self.description, MAX_TEXT, "capabilities.description")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose agent it is. An empty tenant is the platform: such agents work for all tenants."""

    tenant_id: str
    workload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAgent:
    """What an agent says of itself."""

    name: str
    capabilities: tuple[Capability, ...]
    slots: int
    version: str = ""

    def __post_init__(self) -> None:
        _check_length(self.name, MAX_NAME, "name")
        _check_length(self.version, MAX_VERSION, "version")
        if not 1 <= len(self.capabilities) <= MAX_CAPABILITIES:
            raise ValidationError(
                f"an agent needs 1 to {MAX_CAPABILITIES} capabilities, not {len(self.capabilities)}",
                field="capabilities",
            )
        if len(set(self.types)) < len(self.capabilities):
            raise ValidationError("two capabilities have the same type", field="capabilities")
        if not 1 <= self.slots <= MAX_SLOTS:
            raise ValidationError(f"slots {self.slots} is not between 1 and {MAX_SLOTS}", field="slots")

    @property
    def types(self) -> tuple[str, ...]:
        """The task types it can do, sorted."""
        return tuple(sorted(capability.type for capability in self.capabilities))


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A registered agent."""

    agent_id: str
    owner: Owner
    spec: NewAgent
    last_seen_at: datetime
    session_id: str = ""
    draining: bool = False
    leases: int = 0
    connected: bool = False


def agent_not_found(agent_id: str) -> AgentNotFound:
    """The error for an agent that is not there, or not the caller's."""
    return AgentNotFound(f"there is no agent {agent_id!r}: call Register without an id first", agentId=agent_id)


def _check_length(text: str, limit: int, field: str) -> None:
    if len(text) > limit or "\x00" in text:
        raise ValidationError(f"{field} has more than {limit} characters, or a NUL character", field=field)
