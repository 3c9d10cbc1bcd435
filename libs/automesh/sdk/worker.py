"""Keeps an agent at work: registers, holds a stream open for as long as it lives, fences, drains."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import grpc
import structlog

from automesh.core.backoff import Backoff
from automesh.core.clock import Clock, utc_now
from automesh.core.errors import AutomationError, Kind
from automesh.mesh.errors import from_rpc_error
from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.orchestrator.v1 import work_service_pb2_grpc as rpc
from automesh.sdk.connection import Connection
from automesh.sdk.job import Handler
from automesh.sdk.jobs import Jobs, Monotonic, Terms, elapsed
from automesh.sdk.session import Session, StreamEnded, first_of
from automesh.sdk.uploads import Uploads

log = structlog.get_logger("automesh.sdk")

# Errors that stop an agent which was never registered: waiting does not mend them.
_HOPELESS = frozenset({Kind.INVALID, Kind.FORBIDDEN, Kind.UNAUTHENTICATED})
_DEFAULT_HEARTBEAT = timedelta(seconds=5)
_DEFAULT_LEASE_TTL = timedelta(seconds=15)
_DEFAULT_MESSAGE_BYTES = 4 * 1024 * 1024  # gRPC's own
REFUSALS = 3
_CALL_S = 10.0  # the longest a Register may take


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker behaves; the defaults suit production."""

    name: str
    slots: int = 1
    version: str = ""
    drain_grace_s: float = 30.0
    stop_grace_s: float = 10.0
    first_wait_s: float = 0.2
    longest_wait_s: float = 10.0
    clock: Clock = utc_now
    elapsed: Monotonic = field(default=elapsed)


class Worker:
    """Works for one orchestrator until it is told to drain. Losing the connection stops nothing but new work."""

    def __init__(
        self,
        connection: Connection,
        capabilities: Sequence[pb.Capability],
        handlers: Mapping[str, Handler],
        options: WorkerOptions,
    ) -> None:
        self._connection = connection
        self._stub = rpc.WorkServiceStub(connection.channel("orchestrator"))
        self._options = options
        self._request = pb.RegisterRequest(
            name=options.name, capabilities=capabilities, slots=options.slots, version=options.version
        )
        self._jobs = Jobs(
            handlers,
            slots=options.slots,
            uploads=Uploads(connection),
            clock=options.clock,
            elapsed=options.elapsed,
            stop_grace_s=options.stop_grace_s,
        )
        self._terms: Terms | None = None
        self._session: Session | None = None
        self.registered = asyncio.Event()
        """Set once the orchestrator knows this agent and what it can do."""
        self._draining = asyncio.Event()
        self._refusals = 0  # streams in a row that ended because of what we said
        self._backoff = Backoff(first_s=options.first_wait_s, most_s=options.longest_wait_s)

    @property
    def agent_id(self) -> str:
        """Given out by the orchestrator. Empty before the first registration."""
        return self._terms.agent_id if self._terms else ""

    @property
    def slots(self) -> int:
        """How many tasks it may hold at once."""
        return self._options.slots

    @property
    def running(self) -> int:
        """How many it holds now."""
        return self._jobs.taken

    @property
    def connected(self) -> bool:
        """Whether its stream is open."""
        return self._session is not None and self._session.attached

    @property
    def draining(self) -> bool:
        """Whether it takes no more work."""
        return self._draining.is_set()

    def drain(self) -> None:
        """Takes no more work; `run` returns when what it holds is done, or the drain grace is over."""
        if not self.draining:
            log.info("agent drains", running=self.running)
        self._draining.set()
        if self._session is not None:
            self._session.drain()

    async def run(self) -> None:
        """Works until drained. Raises AutomationError when the orchestrator refuses the agent for good at its start."""
        try:
            await first_of(self._connect_for_ever(), self._fence(), self._drain_grace())
        finally:
            await self._jobs.leave()

    async def _connect_for_ever(self) -> None:
        while not (self.draining and self._jobs.idle.is_set()):
            wait_s: float | None = None
            try:
                await self._connect()
            except StreamEnded as end:
                wait_s = end.wait_s
                log.info("stream ended", why=str(end))
            except grpc.aio.AioRpcError as error:
                self._failed(from_rpc_error(error))
            except AutomationError as error:
                self._failed(error)
            except asyncio.InvalidStateError:  # grpc.aio: written to a call that had just ended
                log.info("stream ended", why="the connection was lost")
            if not (self.draining and self._jobs.idle.is_set()):
                await self._pause(wait_s)

    async def _connect(self) -> None:
        metadata = await self._connection.metadata()
        await first_of(self._register(metadata))
        assert self._terms is not None  # noqa: S101  # set by _register
        call = self._stub.Work(metadata=metadata)
        self._session = Session(call, self._jobs, self._terms, elapsed=self._options.elapsed)
        if self.draining:
            self._session.drain()
        try:
            await self._session.run()
        finally:
            if self._session.attached:
                self._backoff.reset()
            self._session = None

    async def _register(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self._request.agent_id = self.agent_id
        answer = await self._stub.Register(self._request, metadata=metadata, timeout=_CALL_S)
        first = self._terms is None
        self._terms = _terms(answer)
        self.registered.set()
        if first:
            log.info("agent registered", agent_id=self.agent_id, slots=self.slots)

    def _failed(self, error: AutomationError) -> None:
        if error.kind is Kind.NOT_FOUND and self._terms is not None:
            log.warning("the orchestrator has forgotten this agent: registering anew", agent_id=self.agent_id)
            self._terms = replace(self._terms, agent_id="")
            return
        if self._terms is None and error.kind in _HOPELESS:
            raise error
        log.warning("orchestrator not reached", reason=error.reason, why=error.message)
        self._refusals = self._refusals + 1 if error.kind is Kind.INVALID else 0
        if self._refusals == REFUSALS:
            self._refusals = 0
            self._jobs.refused(error.message)

    async def _pause(self, asked_s: float | None) -> None:
        # Jitter in both cases, so that a fleet does not come back as one.
        seconds = self._backoff.next_s() + (asked_s or 0.0)
        if self.draining:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._draining.wait()
        except TimeoutError:
            pass

    async def _fence(self) -> None:
        while True:
            if self._terms is not None:
                self._jobs.fence(self._terms)
            await asyncio.sleep(min(1.0, self._terms.lease_ttl_s / 20) if self._terms else 1.0)

    async def _drain_grace(self) -> None:
        await self._draining.wait()
        await asyncio.sleep(self._options.drain_grace_s)
        if self.running:
            log.warning("drain grace is over: stopping what still runs", running=self.running)


def _terms(answer: pb.RegisterResponse) -> Terms:
    heartbeat = answer.heartbeat_interval.ToTimedelta() or _DEFAULT_HEARTBEAT
    ttl = answer.lease_ttl.ToTimedelta() or _DEFAULT_LEASE_TTL
    return Terms(
        agent_id=answer.agent_id,
        heartbeat_s=heartbeat.total_seconds(),
        lease_ttl_s=ttl.total_seconds(),
        max_message_bytes=answer.max_message_bytes or _DEFAULT_MESSAGE_BYTES,
    )
