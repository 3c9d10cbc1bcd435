"""AgentService over gRPC: what this agent can do, and how it is asked to stop taking work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import grpc

from automesh.agent.v1 import agent_service_pb2 as pb
from automesh.agent.v1 import agent_service_pb2_grpc as rpc
from automesh.core.errors import NotFound
from services.agent.convert import ability_to_proto
from services.agent.domain.ability import Ability

Context = grpc.aio.ServicerContext[Any, Any]


class OtherAgent(NotFound):
    """The process that answers is not the agent that was asked for."""

    reason = "AGENT_NOT_HERE"


class Working(Protocol):
    """What the servicer needs of the worker."""

    @property
    def agent_id(self) -> str: ...
    @property
    def slots(self) -> int: ...
    @property
    def running(self) -> int: ...
    @property
    def draining(self) -> bool: ...
    def drain(self) -> None: ...


class AgentServicer(rpc.AgentServiceServicer):
    """One agent process."""

    def __init__(self, worker: Working, abilities: Sequence[Ability]) -> None:
        self._worker = worker
        self._abilities = abilities

    async def ListCapabilities(
        self, request: pb.ListCapabilitiesRequest, context: Context
    ) -> pb.ListCapabilitiesResponse:
        return pb.ListCapabilitiesResponse(
            agent_id=self._worker.agent_id,
            task_types=[ability_to_proto(ability) for ability in self._abilities],
            slots=self._worker.slots,
            running=self._worker.running,
            draining=self._worker.draining,
        )

    async def Drain(self, request: pb.DrainRequest, context: Context) -> pb.DrainResponse:
        if request.agent_id != self._worker.agent_id:
            raise OtherAgent(
                f"this is agent {self._worker.agent_id!r}, not {request.agent_id!r}: ask again, another may answer",
                agentId=request.agent_id,
            )
        self._worker.drain()
        return pb.DrainResponse(running=self._worker.running)
