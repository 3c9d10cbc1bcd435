"""WorkService over gRPC: registration, and the one stream between an agent and the orchestrator."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any

import grpc
import structlog

from automesh.core.errors import AutomationError, InternalError, Unavailable, ValidationError
from automesh.mesh.caller import current_caller
from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.orchestrator.v1 import work_service_pb2_grpc as rpc
from services.orchestrator.convert import tasks
from services.orchestrator.convert import work as convert
from services.orchestrator.domain.desk import End, WorkDesk
from services.orchestrator.domain.retry import jitter_between
from services.orchestrator.domain.sessions import Session
from services.orchestrator.service.caller import owner_of

Context = grpc.aio.ServicerContext[Any, Any]
log = structlog.get_logger(__name__)

ATTACH_WITHIN_S = 30.0
MAX_BATCH = 256
"""Frames of one agent that are written together, or wait meanwhile; then its stream is read no further."""


class WorkServicer(rpc.WorkServiceServicer):
    """The agents' side of the orchestrator."""

    def __init__(self, desk: WorkDesk, *, max_message_bytes: int) -> None:
        self._desk = desk
        self._max_message_bytes = max_message_bytes

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        agent_id = await self._desk.register(request.agent_id, owner_of(current_caller()), convert.new_agent(request))
        return convert.registered(agent_id, self._desk.terms, self._max_message_bytes)

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        limit, after = convert.agents_page(request)
        # Only services of the mesh come without a tenant; they see what works for all tenants.
        agents = await self._desk.list(current_caller().tenant_id, limit=limit + 1, after=after)
        return pb.ListAgentsResponse(
            agents=[convert.agent(agent) for agent in agents[:limit]],
            next_page_token=convert.agents_token(agents[limit - 1]) if len(agents) > limit else "",
        )

    async def DescribeLease(self, request: pb.DescribeLeaseRequest, context: Context) -> pb.DescribeLeaseResponse:
        task = await self._desk.describe(request.lease_token)
        return pb.DescribeLeaseResponse(task=tasks.task(task))

    async def Work(
        self, request_iterator: AsyncIterator[pb.WorkRequest], context: Context
    ) -> AsyncGenerator[pb.WorkResponse, None]:
        owner = owner_of(current_caller())
        told = convert.attach(await self._first(request_iterator))
        session = await self._desk.attach(told.agent_id, owner, told.session_id, told.held)
        reader = asyncio.create_task(self._read(session, request_iterator), name=f"work {told.agent_id}")
        try:
            beat_s = self._desk.terms.heartbeat.total_seconds()
            async with aclosing(session.events(beat_s)) as events:
                async for event in events:
                    for response in convert.responses(event):
                        yield response
        finally:
            reader.cancel()
            await asyncio.wait([reader])
            await self._detach(session)

    async def _first(self, requests: AsyncIterator[pb.WorkRequest]) -> pb.WorkRequest:
        try:
            async with asyncio.timeout(ATTACH_WITHIN_S):
                return await anext(requests)
        except (StopAsyncIteration, TimeoutError) as error:
            raise ValidationError("a Work stream begins with `attach`", field="attach") from error

    async def _read(self, session: Session, requests: AsyncIterator[pb.WorkRequest]) -> None:
        """Takes in frame after frame; how it ends is how the stream ends."""
        frames: asyncio.Queue[pb.WorkRequest | None] = asyncio.Queue(MAX_BATCH)
        pump = asyncio.create_task(_pump(session, requests, frames))
        try:
            while batch := await _gathered(frames):
                await self._take(session, batch)
            session.close()
        except AutomationError as error:
            session.close(error)
        except Exception:
            log.exception("a frame of an agent could not be handled", agent_id=session.agent_id)
            session.close(InternalError("internal error"))
        finally:
            pump.cancel()
            await asyncio.wait([pump])

    async def _take(self, session: Session, batch: Sequence[pb.WorkRequest]) -> None:
        """What came in together is written together: beginnings first, ends last."""
        desk, frames = self._desk, _by_kind(batch)
        if accepted := frames.pop("accepted", None):
            await desk.accepted(session, [request.accepted.lease_token for request in accepted])
        done = frames.pop("done", None)
        for kind, requests in frames.items():
            for request in requests:
                await _HANDLERS[kind](desk, session, request)
        if done:
            await desk.done(session, [_end(session, request.done) for request in done])

    async def _detach(self, session: Session) -> None:
        with suppress(Unavailable):  # `last_seen_at` tells as much, a little later
            await self._desk.detach(session)


async def _pump(
    session: Session, requests: AsyncIterator[pb.WorkRequest], frames: asyncio.Queue[pb.WorkRequest | None]
) -> None:
    """Reads on while earlier frames are written, so that a slow database does not look like a silent agent."""
    try:
        async for request in requests:
            session.heard()
            await frames.put(request)
    except Exception as error:  # a stream can break off in many ways
        log.info("an agent's stream broke off", agent_id=session.agent_id, error=str(error))
    await frames.put(None)


async def _gathered(frames: asyncio.Queue[pb.WorkRequest | None]) -> list[pb.WorkRequest]:
    """All frames that are there, at least one; none at the end of the stream."""
    batch = []
    request = await frames.get()
    while request is not None:
        batch.append(request)
        if frames.empty():
            return batch
        request = frames.get_nowait()
    if batch:
        frames.put_nowait(None)  # the end, for the next time
    return batch


def _by_kind(batch: Sequence[pb.WorkRequest]) -> dict[str, list[pb.WorkRequest]]:
    frames: dict[str, list[pb.WorkRequest]] = {}
    for request in batch:
        kind = request.WhichOneof("message") or "an empty message"
        if kind not in _KINDS:
            raise ValidationError(f"a Work stream has no place for {kind} here", field="message")
        frames.setdefault(kind, []).append(request)
    return frames


def _end(session: Session, told: pb.Done) -> End:
    jitter = jitter_between(random.random())  # noqa: S311 # spreads load, is no secret
    return told.lease_token, lambda lease_key: convert.outcome(told, lease_key, session.agent_id, jitter)


async def _credit(desk: WorkDesk, session: Session, request: pb.WorkRequest) -> None:
    desk.credit(session, request.credit.count)


async def _heartbeat(desk: WorkDesk, session: Session, request: pb.WorkRequest) -> None:
    """Being heard is all."""


async def _progress(desk: WorkDesk, session: Session, request: pb.WorkRequest) -> None:
    told = request.progress
    await desk.report(session, told.lease_token, lambda lease_key: convert.progress(told, lease_key, session.agent_id))


async def _log(desk: WorkDesk, session: Session, request: pb.WorkRequest) -> None:
    told = request.log
    await desk.report(session, told.lease_token, lambda lease_key: convert.lines(told, lease_key, session.agent_id))


async def _drain(desk: WorkDesk, session: Session, request: pb.WorkRequest) -> None:
    await desk.drain(session)


_HANDLERS: dict[str, Callable[[WorkDesk, Session, pb.WorkRequest], Awaitable[None]]] = {
    "credit": _credit,
    "heartbeat": _heartbeat,
    "progress": _progress,
    "log": _log,
    "drain": _drain,
}
_KINDS = {"accepted", "done", *_HANDLERS}
