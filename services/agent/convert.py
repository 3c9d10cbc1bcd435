"""The domain <-> protobuf."""

from __future__ import annotations

from automesh.agent.v1 import agent_service_pb2 as pb
from services.agent.domain.ability import Ability


def ability_to_proto(ability: Ability) -> pb.TaskType:
    """A task type as the contract shows it."""
    return pb.TaskType(
        type=ability.type,
        description=ability.description,
        available=ability.available,
        unavailable_reason=ability.unavailable_reason,
    )
