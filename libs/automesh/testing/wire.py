"""An orchestrator seen over the wire: stubs for people, and an agent that speaks the Work protocol frame by frame."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct

from automesh.mesh.channel import MeshChannel
from automesh.orchestrator.v1 import (
    artifact_service_pb2_grpc,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
)
from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.orchestrator.v1 import work_service_pb2_grpc as rpc
from automesh.testing.mesh import InProcessMesh

LIMIT_S = 20.0
"""How long to wait for a frame that should come."""
PEOPLE = ("task.create", "task.read", "task.update", "task.delete", "task.cancel", "agent.read")


class WireAgent:
    """One agent. Every frame is sent by the test; only beats of the other side are skipped while waiting."""

    def __init__(self, stub: rpc.WorkServiceAsyncStub, agent_id: str, answer: pb.RegisterResponse) -> None:
        self.agent_id = agent_id
        self.registered = answer
        self._stub = stub
        self._call: Any = None
        self._writing = asyncio.Lock()  # a call takes one write at a time
        self._beating: asyncio.Task[None] | None = None

    async def attach(self, held: Sequence[bytes] = (), *, session: str = "", beats: bool = True) -> pb.Attached:
        """Opens a stream; returns the answer. Without `beats` only what the test sends is heard."""
        self._call = self._stub.Work()
        told = pb.Attach(agent_id=self.agent_id, session_id=session or secrets.token_hex(8), held=held)
        await self.send(attach=told)
        attached = (await self.expect("attached")).attached
        if beats:
            self._beating = asyncio.create_task(self._beat_forever())
        return attached

    async def send(self, **message: Any) -> None:
        """One frame, such as `credit=pb.Credit(count=1)`."""
        async with self._writing:
            await self._call.write(pb.WorkRequest(**message))

    async def credit(self, count: int = 1) -> None:
        """Asks for work."""
        await self.send(credit=pb.Credit(count=count))

    async def beat(self) -> None:
        """A sign of life."""
        await self.send(heartbeat=pb.Heartbeat())

    async def leased(self) -> pb.Lease:
        """The next lease."""
        return (await self.expect("lease")).lease

    async def accept(self, lease: pb.Lease) -> None:
        """Begins."""
        await self.send(accepted=pb.Accepted(lease_token=lease.lease_token))

    async def take(self) -> pb.Lease:
        """Asks for one task, gets it and begins."""
        await self.credit()
        lease = await self.leased()
        await self.accept(lease)
        return lease

    async def complete(self, lease: pb.Lease, **result: Any) -> pb.Ack:
        """Says that it worked; returns the acknowledgement."""
        struct = Struct()
        struct.update(result)
        await self.send(done=pb.Done(lease_token=lease.lease_token, result=struct))
        return (await self.expect("ack")).ack

    async def fail(self, lease: pb.Lease, reason: str = "BROKEN", *, retryable: bool = True) -> pb.Ack:
        """Says that it did not work; returns the acknowledgement."""
        failure = pb.Failure(reason=reason, message="it broke", retryable=retryable)
        await self.send(done=pb.Done(lease_token=lease.lease_token, failure=failure))
        return (await self.expect("ack")).ack

    async def expect(self, kind: str) -> pb.WorkResponse:
        """The next frame that is no beat; it must be of this kind."""
        frame = await self.next_frame()
        found = frame.WhichOneof("message")
        if found != kind:
            raise AssertionError(f"expected {kind}, got {frame}")
        return frame

    async def next_frame(self, *, beats: bool = False) -> pb.WorkResponse:
        """The next frame; beats only where asked for."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                frame = await self._call.read()
                if frame is grpc.aio.EOF:
                    raise AssertionError(f"the stream ended: {await self._call.code()} {await self._call.details()}")
                if beats or frame.WhichOneof("message") != "heartbeat":
                    return frame  # type: ignore[no-any-return] # the call is untyped

    async def ended(self) -> grpc.StatusCode:
        """Reads until the stream ends; how it ended."""
        async with asyncio.timeout(LIMIT_S):
            with suppress(grpc.aio.AioRpcError):
                while await self._call.read() is not grpc.aio.EOF:
                    pass
            return await self._call.code()  # type: ignore[no-any-return] # the call is untyped

    async def vanish(self) -> None:
        """Breaks the stream off, as a killed process does."""
        self.stop_beating()
        self._call.cancel()
        await asyncio.wait([asyncio.ensure_future(self._call.code())])

    async def leave(self) -> None:
        """Ends the stream in good order."""
        self.stop_beating()
        await self._call.done_writing()
        await self.ended()

    def stop_beating(self) -> None:
        """Falls silent, as a stopped process does; the stream stays open."""
        if self._beating is not None:
            self._beating.cancel()

    async def _beat_forever(self) -> None:
        interval = self.registered.heartbeat_interval.ToTimedelta().total_seconds()
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the stream ended
            while True:
                await asyncio.sleep(interval)
                await self.beat()


class OrchestratorOnWire:
    """Stubs to a served orchestrator."""

    def __init__(self, mesh: InProcessMesh) -> None:
        self.mesh = mesh

    async def tasks(self, tenant_id: str = "default") -> task_service_pb2_grpc.TaskServiceAsyncStub:
        """Tasks, as a person of a tenant."""
        return task_service_pb2_grpc.TaskServiceStub(await self.mesh.signed_in(PEOPLE, tenant_id=tenant_id))

    async def artifacts(self, tenant_id: str = "default") -> artifact_service_pb2_grpc.ArtifactServiceAsyncStub:
        """Artifacts, as a person of a tenant."""
        return artifact_service_pb2_grpc.ArtifactServiceStub(await self.mesh.signed_in(PEOPLE, tenant_id=tenant_id))

    async def people(self, tenant_id: str = "default") -> rpc.WorkServiceAsyncStub:
        """Agents, as a person of a tenant."""
        return rpc.WorkServiceStub(await self.mesh.signed_in(PEOPLE, tenant_id=tenant_id))

    async def agents_of(self, tenant_id: str) -> rpc.WorkServiceAsyncStub:
        """The agents' side, as an agent of a tenant."""
        return rpc.WorkServiceStub(await self.mesh.signed_in(["work.lease"], tenant_id=tenant_id))

    async def platform_agents(self) -> rpc.WorkServiceAsyncStub:
        """The agents' side, as an agent of the platform."""
        return rpc.WorkServiceStub(await self.mesh.channel("agent"))

    async def task_service(self, service: str) -> task_service_pb2_grpc.TaskServiceAsyncStub:
        """Tasks, as a service of the mesh; whom it acts for goes with its calls."""
        return task_service_pb2_grpc.TaskServiceStub(MeshChannel(await self.mesh.channel(service)))

    async def work_service(self, service: str) -> rpc.WorkServiceAsyncStub:
        """The agents' side, as a service of the mesh."""
        return rpc.WorkServiceStub(MeshChannel(await self.mesh.channel(service)))

    async def agent(
        self, *types: str, slots: int = 4, agent_id: str = "", stub: rpc.WorkServiceAsyncStub | None = None
    ) -> WireAgent:
        """A registered agent; of the platform unless `stub` is somebody else's."""
        stub = stub or await self.platform_agents()
        capabilities = [pb.Capability(type=task_type) for task_type in types or ("noop",)]
        answer = await stub.Register(
            pb.RegisterRequest(agent_id=agent_id, name="wire", capabilities=capabilities, slots=slots)
        )
        return WireAgent(stub, answer.agent_id, answer)

    @asynccontextmanager
    async def attached(self, *types: str, slots: int = 4) -> AsyncIterator[WireAgent]:
        """An agent with an open stream."""
        agent = await self.agent(*types, slots=slots)
        await agent.attach()
        yield agent
        await agent.vanish()


def task_request(request_id: str = "", **fields: Any) -> task_service_pb2.CreateTaskRequest:
    """A CreateTask request for a noop."""
    return task_service_pb2.CreateTaskRequest(task=task_pb2.Task(**{"type": "noop", **fields}), request_id=request_id)
