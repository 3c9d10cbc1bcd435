"""One leased task and the handler that works on it: begins, may be stopped, settles exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import grpc
import structlog

from automesh.core.errors import AutomationError
from automesh.mesh.errors import from_rpc_error
from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.sdk import frames
from automesh.sdk.context import TaskContext
from automesh.sdk.errors import Failed, failed
from automesh.sdk.report import Report
from automesh.sdk.task import LeasedTask

log = structlog.get_logger("automesh.sdk")

Result = Mapping[str, Any] | None
Handler = Callable[[LeasedTask, TaskContext], Awaitable[Result]]


class Stop(Enum):
    """Why a handler is stopped before it ends by itself."""

    CANCELLED = auto()  # somebody cancelled the task, and the lease was taken back
    REVOKED = auto()  # the lease is gone: nothing we say counts
    FENCED = auto()  # we could not renew the lease: it may be gone
    TIMED_OUT = auto()  # the attempt took longer than it may
    LEAVING = auto()  # the agent stops; the lease runs out, which costs the task no retry


_SAID_OF = {
    Stop.FENCED: Failed(
        "LEASE_LOST",
        "the agent could not reach the orchestrator in time to keep the lease and stopped the task to be safe",
        retryable=True,
    ),
    Stop.TIMED_OUT: Failed(
        "TIMED_OUT", "the attempt ran longer than the task's timeout: raise the timeout or do less", retryable=True
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """The bounds a job lives under."""

    lease_ttl_s: float
    max_message_bytes: int
    stop_grace_s: float


class Job:
    """Runs one handler. The slot it takes is free once the handler has ended and what it said is acknowledged."""

    def __init__(
        self,
        token: bytes,
        task: LeasedTask,
        *,
        handler: Handler,
        context: TaskContext,
        report: Report,
        terms: JobTerms,
        timeout_s: float,
        renewed_at: float,
        changed: Callable[[], None],
    ) -> None:
        self.token = token
        self.task = task
        self.report = report
        self.renewed_at = renewed_at
        self.stopped: Stop | None = None
        self._handler = handler
        self._context = context
        self._terms = terms
        self._changed = changed
        self._told_refused = False
        self._closed = False  # acknowledged, or nothing to be said
        self._timers: list[asyncio.TimerHandle] = []
        self._run = asyncio.create_task(self._work(), name=f"task {task.task_id}")
        self._run.add_done_callback(lambda _: self._ended())
        if timeout_s > 0:
            self._timers.append(asyncio.get_running_loop().call_later(timeout_s, self.stop, Stop.TIMED_OUT))

    @property
    def working(self) -> bool:
        """Whether the handler still runs."""
        return not self._run.done()

    @property
    def free(self) -> bool:
        """Whether its slot can be given to another task."""
        return not self.working and self._closed

    @property
    def held(self) -> bool:
        """Whether we believe to hold the lease: we work, or our word is not acknowledged yet."""
        return self.stopped is None and not self._closed

    def renew(self, moment: float) -> None:
        """The orchestrator heard of us at `moment` or later."""
        self.renewed_at = max(self.renewed_at, moment)

    def acknowledged(self) -> None:
        """The end needs no repeating any more."""
        self._closed = True
        self._changed()

    def stop(self, stop: Stop, why: str = "") -> None:
        """Asks the handler to end, and lets go of it after the grace time. Only the first reason counts."""
        if self.stopped is not None or not self.working:
            return
        self.stopped = stop
        self._context.stop_reason = why or stop.name.lower()
        self._context.cancelled.set()
        self._run.cancel()
        log.info("task stopped", task_id=self.task.task_id, attempt=self.task.attempt, stop=stop.name, why=why)
        self._timers.append(asyncio.get_running_loop().call_later(self._terms.stop_grace_s, self._let_go))

    def revoke(self, why: str) -> None:
        """The lease is gone. An end that is known already is said all the same, and will be refused as stale."""
        self.stop(Stop.REVOKED, why)
        if self.working and self.stopped is Stop.TIMED_OUT:
            self.stopped = Stop.REVOKED

    def refused(self, why: str) -> None:
        """The orchestrator cannot take what we say: first tell it so in simple words, then nothing more."""
        self.report.forget()
        if not self.report.times_ended or self._closed:
            return
        if self._told_refused:
            self.acknowledged()
            return
        self._told_refused = True
        failure = Failed("RESULT_REFUSED", f"the orchestrator refused what the agent said: {why}", retryable=False)
        self.report.end(frames.failed_frame(self.token, failure))

    async def wait(self) -> None:
        """Until the handler has ended."""
        await asyncio.wait([self._run])

    async def _work(self) -> Mapping[str, Any]:
        structlog.contextvars.bind_contextvars(task_id=self.task.task_id, attempt=self.task.attempt)
        try:
            result = await self._handler(self.task, self._context)
        except SystemExit as error:
            # asyncio would let it end the whole agent.
            raise RuntimeError("the handler called sys.exit") from error
        return {} if result is None else result

    def _let_go(self) -> None:
        if self.working:
            log.error("handler does not stop: its slot stays taken", task_id=self.task.task_id)
            self._settle(None)
            self._run.cancel()

    def _ended(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._settle(self._frame())
        self._changed()

    def _settle(self, frame: pb.WorkRequest | None) -> None:
        if self.report.ended or self._closed:
            return
        frame = frame or self._stop_frame()
        if frame is None:
            self._closed = True
            return
        # A fenced lease may still be ours in the orchestrator's eyes: wait until it is surely over, so that our word
        # is refused as stale instead of costing the task one of its retries.
        fenced = self.stopped is Stop.FENCED and frame.done.HasField("failure")
        self.report.end(frame, not_before=self.renewed_at + self._terms.lease_ttl_s if fenced else 0.0)

    def _frame(self) -> pb.WorkRequest | None:
        """What the handler's own end says; None when only the reason of the stop is worth saying."""
        if self._run.cancelled():
            unasked = Failed("HANDLER_CANCELLED", "the handler cancelled itself", retryable=True)
            return frames.failed_frame(self.token, unasked) if self.stopped is None else None
        error = self._run.exception()
        if self.stopped not in {None, Stop.FENCED}:
            return None
        if error is not None:
            return self._failure_frame(error) if self.stopped is None else None
        try:
            return frames.succeeded_frame(self.token, self._run.result(), self._terms.max_message_bytes)
        except Exception as bad:  # a result that cannot be sent: the handler's fault, and it is told
            return self._failure_frame(bad)

    def _failure_frame(self, error: BaseException) -> pb.WorkRequest:
        if isinstance(error, grpc.aio.AioRpcError):
            error = from_rpc_error(error)
        failure = failed(error, self.task.type)
        about = {"task_id": self.task.task_id, "attempt": self.task.attempt, "reason": failure.reason}
        if isinstance(error, AutomationError):
            log.info("handler failed", **about, why=failure.message)
        else:  # unforeseen: whoever wrote the handler needs to see where
            log.error("handler failed", **about, exc_info=(type(error), error, error.__traceback__))
        return frames.failed_frame(self.token, failure)

    def _stop_frame(self) -> pb.WorkRequest | None:
        said = _SAID_OF.get(self.stopped) if self.stopped else None
        return frames.failed_frame(self.token, said) if said else None
