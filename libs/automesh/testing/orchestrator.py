"""A scriptable orchestrator for tests of agents: the real protocol on a real server, in this process, without TLS."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any

import grpc

from automesh.core.errors import AutomationError, Kind, NotFound, Unavailable, ValidationError
from automesh.mesh.errors import abort
from automesh.orchestrator.v1 import artifact_service_pb2 as artifact_pb
from automesh.orchestrator.v1 import artifact_service_pb2_grpc as artifact_rpc
from automesh.orchestrator.v1 import task_pb2
from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.orchestrator.v1 import work_service_pb2_grpc as rpc

Context = grpc.aio.ServicerContext[Any, Any]
LIMIT_S = 10.0  # the longest any wait of a test may take


class AgentForgotten(NotFound):
    """The orchestrator does not know the agent (any more)."""

    reason = "AGENT_NOT_FOUND"


class LeaseGone(AutomationError):
    """The lease was lost."""

    kind = Kind.ABORTED
    reason = "LEASE_LOST"


class Stream:
    """One stream of an agent, as the orchestrator sees it."""

    def __init__(self, attach: pb.Attach) -> None:
        self.attach = attach
        self.credit = 0
        self.out: asyncio.Queue[pb.WorkResponse | AutomationError | None] = asyncio.Queue()

    def say(self, **message: Any) -> None:
        """Sends a message: `say(cancel=pb.Cancel(...))`."""
        self.out.put_nowait(pb.WorkResponse(**message))


class FakeOrchestrator(rpc.WorkServiceServicer, artifact_rpc.ArtifactServiceServicer):
    """Hands out what the test queues with `lease`, remembers all it hears, and misbehaves when told to."""

    def __init__(
        self,
        *,
        heartbeat_s: float = 0.2,
        lease_ttl_s: float = 10.0,
        max_message_bytes: int = 4 * 1024 * 1024,
        limit_s: float = LIMIT_S,
    ) -> None:
        """`limit_s`: the longest that a test waits for something to be heard."""
        self.limit_s = limit_s
        self.heartbeat_s = heartbeat_s
        self.lease_ttl_s = lease_ttl_s
        self.max_message_bytes = max_message_bytes
        self.answers_done = True  # whether a `done` is acknowledged
        self.answers_stale = False  # whether it is refused as stale
        self.rejects_done = False  # whether a `done` ends the stream as invalid
        self.goes_away_at_once = False  # whether the next stream gets a goaway in place of its first answer
        self.keeps: Callable[[bytes], bool] = lambda token: True  # which leases survive a new stream
        self.refuses: AutomationError | None = None  # what every Register and Work is answered with
        self.silent = False  # whether it sends no signs of life
        self.heard: list[pb.WorkRequest] = []
        self.registered: list[pb.RegisterRequest] = []
        self.streams: list[Stream] = []
        self.failing_uploads = 0  # so many uploads are answered with UNAVAILABLE
        self.artifacts: dict[str, bytes] = {}
        self.metadata: list[Mapping[str, str | bytes]] = []
        self.leases: dict[bytes, pb.Lease] = {}  # which DescribeLease knows; a test drops those that are lost
        self._waiting: deque[pb.Lease] = deque()
        self._news = asyncio.Condition()
        self._next_port = 0
        self._leases = 0

    async def __aenter__(self) -> FakeOrchestrator:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()
        await self.stop()

    async def start(self) -> None:
        """Serves; after a `stop` on the same port as before."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        rpc.add_WorkServiceServicer_to_server(self, self._server)
        artifact_rpc.add_ArtifactServiceServicer_to_server(self, self._server)
        first = not self._next_port
        self._next_port = self._server.add_insecure_port(f"127.0.0.1:{self._next_port}")
        await self._server.start()
        if first:
            options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100)]
            self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{self._next_port}", options=options)

    async def stop(self) -> None:
        """The orchestrator is gone, as after kill -9."""
        await self._server.stop(None)

    @property
    def connection(self) -> FakeConnection:
        """The connection to give to an agent."""
        return FakeConnection(self._channel)

    # ---- what a test tells it

    def lease(self, type: str, input: Mapping[str, Any] | None = None, **fields: Any) -> bytes:
        """Queues a task for the next agent that asks for work; returns the token of its lease."""
        self._leases += 1
        lease = pb.Lease(
            **{
                "lease_token": f"lease-{self._leases}".encode(),
                "task_id": f"task_{self._leases}",
                "tenant_id": "default",
                "type": type,
                "attempt": 1,
                **fields,
            }
        )
        lease.input.update(input or {})
        self.leases[lease.lease_token] = lease
        self._waiting.append(lease)
        if self.streams:
            self._hand_out(self.streams[-1])
        return lease.lease_token

    def say(self, **message: Any) -> None:
        """Sends a message on the newest stream."""
        self.streams[-1].say(**message)

    def cut(self, error: AutomationError | None = None) -> None:
        """Ends the newest stream."""
        self.streams[-1].out.put_nowait(error or Unavailable("cut by the test"))

    # ---- what a test asks it

    def of(self, kind: str, token: bytes | None = None) -> list[Any]:
        """The messages of a kind heard so far, of one lease or of all."""
        found = [getattr(frame, kind) for frame in list(self.heard) if frame.WhichOneof("message") == kind]
        return [message for message in found if token is None or message.lease_token == token]

    async def hears(self, kind: str, token: bytes | None = None, *, times: int = 1) -> Any:
        """Waits for a message of a kind and returns it (the last, where `times` of them are awaited)."""
        await self.until(lambda: len(self.of(kind, token)) >= times)
        return self.of(kind, token)[times - 1]

    async def until(self, fact: Callable[[], bool]) -> None:
        """Waits, with a limit, until a fact that depends on what was heard is true."""
        async with asyncio.timeout(self.limit_s), self._news:
            await self._news.wait_for(fact)

    async def done(self, token: bytes) -> pb.Done:
        """Waits for the end of an attempt."""
        message: pb.Done = await self.hears("done", token)
        return message

    # ---- what agents ask it

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Makes an agent known."""
        self.metadata.append(dict(context.invocation_metadata() or ()))
        await self._tell()
        if self.refuses is not None:
            await abort(context, self.refuses)
        self.registered.append(pb.RegisterRequest.FromString(request.SerializeToString()))
        answer = pb.RegisterResponse(agent_id=request.agent_id or "agent_1", max_message_bytes=self.max_message_bytes)
        answer.heartbeat_interval.FromTimedelta(timedelta(seconds=self.heartbeat_s))
        answer.lease_ttl.FromTimedelta(timedelta(seconds=self.lease_ttl_s))
        await self._tell()
        return answer

    async def Work(
        self, request_iterator: AsyncIterator[pb.WorkRequest], context: Context
    ) -> AsyncIterator[pb.WorkResponse]:
        """The stream of an agent."""
        if self.refuses is not None:
            await abort(context, self.refuses)
        stream = Stream((await anext(request_iterator)).attach)
        held = stream.attach.held
        keep = [token for token in held if self.keeps(token)]
        if self.goes_away_at_once:
            self.goes_away_at_once = False
            stream.say(goaway=pb.Goaway())
        stream.say(attached=pb.Attached(keep=keep, drop=[token for token in held if token not in keep]))
        self.streams.append(stream)
        await self._tell()
        listening = asyncio.create_task(self._listen(stream, request_iterator))
        try:
            while (message := await self._next(stream)) is not None:
                if isinstance(message, AutomationError):
                    await abort(context, message)
                yield message
        finally:
            listening.cancel()

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        """Nobody: what registered is in `registered`."""
        return pb.ListAgentsResponse()

    async def DescribeLease(self, request: pb.DescribeLeaseRequest, context: Context) -> pb.DescribeLeaseResponse:
        """What was leased."""
        lease = self.leases.get(request.lease_token)
        if lease is None:
            await abort(context, LeaseGone("the lease is over"))
        task = task_pb2.Task(
            task_id=lease.task_id,
            tenant_id=lease.tenant_id,
            type=lease.type,
            status=task_pb2.TASK_STATUS_RUNNING,
            input=lease.input,
            attempt=lease.attempt,
        )
        return pb.DescribeLeaseResponse(task=task)

    async def UploadArtifact(
        self, request_iterator: AsyncIterator[artifact_pb.UploadArtifactRequest], context: Context
    ) -> artifact_pb.UploadArtifactResponse:
        """Keeps the file in `artifacts`."""
        header = (await anext(request_iterator)).header
        if self.failing_uploads:
            self.failing_uploads -= 1
            await abort(context, Unavailable("told to fail"))
        content = b"".join([part.chunk async for part in request_iterator])
        self.artifacts[header.name] = content
        sha256 = hashlib.sha256(content).hexdigest()
        stored = artifact_pb.Artifact(
            name=header.name, content_type=header.content_type, size=len(content), sha256=sha256
        )
        return artifact_pb.UploadArtifactResponse(artifact=stored)

    async def ListArtifacts(
        self, request: artifact_pb.ListArtifactsRequest, context: Context
    ) -> artifact_pb.ListArtifactsResponse:
        """All files, of whatever task."""
        return artifact_pb.ListArtifactsResponse(
            artifacts=[artifact_pb.Artifact(name=name, size=len(data)) for name, data in self.artifacts.items()]
        )

    async def DownloadArtifact(
        self, request: artifact_pb.DownloadArtifactRequest, context: Context
    ) -> AsyncIterator[Any]:
        """Agents do not download."""
        await abort(context, NotFound("the fake does not serve downloads"))
        yield

    async def _listen(self, stream: Stream, requests: AsyncIterator[pb.WorkRequest]) -> None:
        async for frame in requests:
            self.heard.append(frame)
            if frame.HasField("credit"):
                stream.credit += frame.credit.count
                self._hand_out(stream)
            if frame.HasField("done") and self.rejects_done:
                stream.out.put_nowait(ValidationError("this done makes no sense"))
            elif frame.HasField("done") and self.answers_done:
                stream.say(ack=pb.Ack(lease_token=frame.done.lease_token, stale=self.answers_stale))
            await self._tell()
        stream.out.put_nowait(None)

    def _hand_out(self, stream: Stream) -> None:
        while self._waiting and stream.credit:
            stream.credit -= 1
            stream.say(lease=self._waiting.popleft())

    async def _next(self, stream: Stream) -> pb.WorkResponse | AutomationError | None:
        while True:
            try:
                async with asyncio.timeout(self.heartbeat_s):
                    return await stream.out.get()
            except TimeoutError:
                if not self.silent:
                    return pb.WorkResponse(heartbeat=pb.Heartbeat())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


class FakeConnection:
    """A `Connection` whose every channel is the one given; an empty `authorization` is not sent."""

    def __init__(self, channel: grpc.aio.Channel, authorization: str = "Bearer fake") -> None:
        self._channel = channel
        self._authorization = authorization

    def channel(self, service: str) -> grpc.aio.Channel:
        """The one channel."""
        return self._channel

    async def metadata(self) -> tuple[tuple[str, str], ...]:
        """As a token connection would send it."""
        return (("authorization", self._authorization),) if self._authorization else ()
