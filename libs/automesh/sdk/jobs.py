"""All jobs of an agent: which leases it holds, how many slots are free, and when a lease can no longer be trusted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import structlog

from automesh.core.clock import Clock
from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.sdk import frames
from automesh.sdk.context import TaskContext
from automesh.sdk.errors import PermanentError
from automesh.sdk.job import Handler, Job, JobTerms, Stop
from automesh.sdk.report import Report
from automesh.sdk.task import LeasedTask
from automesh.sdk.uploads import Uploads

log = structlog.get_logger("automesh.sdk")

FENCE_SHARE = (
    0.8  # of the lease's life: without a renewal for so long a handler is stopped; the rest is its time to end
)
FORGET_AFTER = 3  # a lost lease whose end was sent so often needs no answer

Monotonic = Callable[[], float]


def elapsed() -> float:
    """Seconds that also count while the machine sleeps, so that a lease does not outlive a closed laptop lid."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the orchestrator answered to Register."""

    agent_id: str
    heartbeat_s: float
    lease_ttl_s: float
    max_message_bytes: int

    @property
    def fence_after_s(self) -> float:
        """A handler whose lease was not renewed for so long is stopped."""
        return self.lease_ttl_s * FENCE_SHARE


class Jobs:
    """Holds at most `slots` jobs at once."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        slots: int,
        uploads: Uploads,
        clock: Clock,
        elapsed: Monotonic,
        stop_grace_s: float,
    ) -> None:
        self.slots = slots
        self.changed = asyncio.Event()
        """Set whenever there may be something to send, or a slot came free."""
        self.idle = asyncio.Event()
        """Set while no slot is taken."""
        self.idle.set()
        self._handlers = handlers
        self._uploads = uploads
        self._clock = clock
        self._elapsed = elapsed
        self._stop_grace_s = stop_grace_s
        self._jobs: dict[bytes, Job] = {}

    @property
    def taken(self) -> int:
        """How many slots are taken."""
        return len(self._jobs)

    def held(self) -> list[bytes]:
        """The leases we believe to hold."""
        return [token for token, job in self._jobs.items() if job.held]

    def reports(self) -> Iterator[Report]:
        """What is to be said, job by job."""
        return (job.report for job in list(self._jobs.values()))

    def begin(self, lease: pb.Lease, terms: Terms) -> bool:
        """Starts to work on a lease; False when it is not taken (no slot is free, or it is one we have)."""
        if self.taken >= self.slots or lease.lease_token in self._jobs:
            return False
        task = frames.leased_task(lease, self._clock())
        report = Report(
            lease.lease_token, clock=self._elapsed, wake=self.changed.set, repeat_s=max(terms.lease_ttl_s, 1.0)
        )
        self._jobs[lease.lease_token] = self._job(lease, task, report, terms)
        self.idle.clear()
        return True

    def acknowledged(self, ack: pb.Ack) -> None:
        """The orchestrator has our last word on a lease, or does not want it."""
        job = self._jobs.get(ack.lease_token)
        if job is None:
            return
        if ack.stale:
            log.warning("result refused: the lease was lost", task_id=job.task.task_id, attempt=job.task.attempt)
        job.acknowledged()

    def cancel(self, token: bytes, why: str) -> None:
        """Somebody cancelled the task."""
        if job := self._jobs.get(token):
            job.stop(Stop.CANCELLED, why)

    def revoke(self, token: bytes, why: str) -> None:
        """The lease is gone: stop, and say nothing more."""
        if job := self._jobs.get(token):
            job.revoke(why)

    def refused(self, why: str) -> None:
        """The orchestrator ended stream after stream over something we said: what was said is not said again."""
        for job in list(self._jobs.values()):
            job.refused(why)

    def reattached(self, held: list[bytes], keep: set[bytes], renewed_at: float) -> None:
        """The orchestrator told which of the leases we `held` are still good."""
        self.renew(renewed_at, keep)
        for token in held:
            if token not in keep:
                self._lost(self._jobs[token])
        for report in self.reports():
            report.say_again()

    def renew(self, moment: float, tokens: set[bytes] | None = None) -> None:
        """The orchestrator heard of us at `moment` or later; `tokens` None means all leases."""
        for token, job in self._jobs.items():
            if tokens is None or token in tokens:
                job.renew(moment)

    def fence(self, terms: Terms) -> None:
        """Stops what could not renew its lease for too long."""
        now = self._elapsed()
        for job in list(self._jobs.values()):
            if now - job.renewed_at > terms.fence_after_s:
                job.stop(Stop.FENCED, f"no word from the orchestrator for {now - job.renewed_at:.1f} s")

    async def leave(self) -> None:
        """Stops everything and waits for it, a little longer than the grace time at most."""
        for job in list(self._jobs.values()):
            job.stop(Stop.LEAVING)
        ends = [asyncio.ensure_future(job.wait()) for job in self._jobs.values()]
        if ends:
            _, late = await asyncio.wait(ends, timeout=self._stop_grace_s + 1)
            for end in late:
                end.cancel()

    def _job(self, lease: pb.Lease, task: LeasedTask, report: Report, terms: Terms) -> Job:
        return Job(
            lease.lease_token,
            task,
            handler=self._handlers.get(task.type, _unknown),
            context=TaskContext(task, lease.lease_token, report, self._uploads),
            report=report,
            terms=JobTerms(
                lease_ttl_s=terms.lease_ttl_s,
                max_message_bytes=terms.max_message_bytes,
                stop_grace_s=self._stop_grace_s,
            ),
            timeout_s=lease.timeout.ToTimedelta().total_seconds(),
            renewed_at=self._elapsed(),
            changed=self._sweep,
        )

    def _lost(self, job: Job) -> None:
        job.stop(Stop.REVOKED, "the orchestrator no longer keeps the lease")
        # An end that was never acknowledged is said again and answered as stale; but not for ever.
        if not job.working and job.report.times_ended >= FORGET_AFTER:
            job.acknowledged()

    def _sweep(self) -> None:
        self._jobs = {token: job for token, job in self._jobs.items() if not job.free}
        if not self._jobs:
            self.idle.set()
        self.changed.set()


async def _unknown(task: LeasedTask, context: TaskContext) -> None:
    raise PermanentError("UNKNOWN_TASK_TYPE", f"this agent has no handler for tasks of type {task.type!r}")
