"""One stream to the orchestrator: attach, ask for work, say what the jobs have to say, do what is asked."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any

import grpc
import structlog

from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.sdk.jobs import Jobs, Monotonic, Terms

log = structlog.get_logger("automesh.sdk")

WorkCall = grpc.aio.StreamStreamCall[pb.WorkRequest, pb.WorkResponse]

BEAT_SHARE = 0.75  # of the heartbeat interval: beats come a little more often than asked for
_IDLE_S = 1.0  # the longest nap of the writer
_CLOSE_S = 1.0  # how long the other side may take to close a stream that we closed


class StreamEnded(Exception):
    """The stream is over; work goes on in a new one after `wait_s` seconds (None: by the usual backoff)."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class Session:
    """Lives as long as its stream."""

    def __init__(self, call: WorkCall, jobs: Jobs, terms: Terms, *, elapsed: Monotonic) -> None:
        self.attached = False
        self.draining = False
        self._call = call
        self._jobs = jobs
        self._terms = terms
        self._elapsed = elapsed
        self._credit = 0  # asked for and not yet used
        self._urgent: deque[pb.WorkRequest] = deque()
        self._next_beat = 0.0
        self._heard_at = elapsed()
        self._said_at = elapsed()
        self._drain_said = asyncio.Event()
        self._left = False

    async def run(self) -> None:
        """Raises StreamEnded or AioRpcError when the stream is over; returns when the agent has drained."""
        self._jobs.fence(self._terms)  # a lease that is too old is given up even if it could still be saved
        try:
            async with asyncio.timeout(self._terms.lease_ttl_s):
                await first_of(self._attach())
            await first_of(self._read(), self._write(), self._watch(), self._leave())
        except TimeoutError as error:
            raise StreamEnded("the orchestrator did not answer to attach") from error
        finally:
            self._call.cancel()

    def drain(self) -> None:
        """Takes no more work; the stream ends once no job is left."""
        if not self.draining:
            self.draining = True
            self._urgent.append(pb.WorkRequest(drain=pb.Drain()))
            self._jobs.changed.set()

    async def _attach(self) -> None:
        held, sent_at = self._jobs.held(), self._elapsed()
        attach = pb.Attach(agent_id=self._terms.agent_id, session_id=secrets.token_hex(16), held=held)
        await self._call.write(pb.WorkRequest(attach=attach))
        answer = await self._call.read()
        if not isinstance(answer, pb.WorkResponse):
            await self._raise_end()
        elif answer.WhichOneof("message") == "goaway":
            self._go_away(answer.goaway)
        elif answer.WhichOneof("message") != "attached":
            raise StreamEnded(f"the orchestrator answered {answer.WhichOneof('message')} to attach")
        else:
            self._jobs.reattached(held, set(answer.attached.keep), sent_at)
            self._heard_at = self._elapsed()
            self.attached = True

    async def _read(self) -> None:
        while isinstance(message := await self._call.read(), pb.WorkResponse):
            # A process that was stopped for long finds old messages here: first see which leases are too old for them.
            self._jobs.fence(self._terms)
            # They hear us while we hear them. Were only our way to them closed, they would send `revoked` in time.
            self._jobs.renew(self._said_at)
            self._heard_at = self._elapsed()
            self._take(message)
        if not self._left:
            await self._raise_end()

    def _take(self, message: pb.WorkResponse) -> None:
        match message.WhichOneof("message"):
            case "lease":
                self._lease(message.lease)
            case "cancel":
                self._jobs.cancel(message.cancel.lease_token, message.cancel.reason)
            case "revoked":
                self._jobs.revoke(message.revoked.lease_token, message.revoked.reason)
            case "ack":
                self._jobs.acknowledged(message.ack)
            case "heartbeat":
                pass
            case "goaway":
                self._go_away(message.goaway)
            case other:
                log.debug("message of a newer orchestrator ignored", message=other)

    def _lease(self, lease: pb.Lease) -> None:
        self._credit = max(0, self._credit - 1)
        # Not accepted, it goes back to the queue after a moment and costs the task nothing.
        if not self.draining and self._jobs.begin(lease, self._terms):
            self._urgent.append(pb.WorkRequest(accepted=pb.Accepted(lease_token=lease.lease_token)))
            self._jobs.changed.set()

    def _go_away(self, goaway: pb.Goaway) -> None:
        raise StreamEnded("the orchestrator asked to reconnect", goaway.reconnect_after.ToTimedelta().total_seconds())

    async def _write(self) -> None:
        while True:
            self._jobs.changed.clear()
            for frame in self._due():
                await self._call.write(frame)
                self._said_at = self._elapsed()
                if frame.HasField("drain"):
                    self._drain_said.set()
            await self._nap()

    def _due(self) -> Iterator[pb.WorkRequest]:
        while self._urgent:
            yield self._urgent.popleft()
        if (now := self._elapsed()) >= self._next_beat:
            self._next_beat = now + self._terms.heartbeat_s * BEAT_SHARE
            yield pb.WorkRequest(heartbeat=pb.Heartbeat())
        for report in self._jobs.reports():
            yield from report.take()
        if (more := self._free()) > 0:
            self._credit += more
            yield pb.WorkRequest(credit=pb.Credit(count=more))

    def _free(self) -> int:
        return 0 if self.draining else self._jobs.slots - self._jobs.taken - self._credit

    async def _nap(self) -> None:
        due = min((report.due() for report in self._jobs.reports()), default=self._next_beat)
        seconds = min(due, self._next_beat) - self._elapsed()
        try:
            async with asyncio.timeout(min(max(seconds, 0), _IDLE_S)):
                await self._jobs.changed.wait()
        except TimeoutError:
            pass

    async def _watch(self) -> None:
        """A connection can die without a sign: then nothing comes any more."""
        while True:
            left_s = self._heard_at + self._terms.fence_after_s - self._elapsed()
            if left_s <= 0:
                raise StreamEnded("no word from the orchestrator")
            await asyncio.sleep(min(left_s, self._terms.heartbeat_s))

    async def _leave(self) -> None:
        await self._drain_said.wait()
        await self._jobs.idle.wait()
        self._left = True
        await self._call.done_writing()
        await asyncio.sleep(_CLOSE_S)

    async def _raise_end(self) -> None:
        code = await self._call.code()
        raise StreamEnded(f"the stream ended: {code.name} {await self._call.details() or ''}".rstrip())


async def first_of(*parts: Coroutine[Any, Any, None]) -> None:
    """Runs all parts until one ends, then stops the others; raises what that one raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        if task.cancelled():  # grpc.aio raises CancelledError when it was the other side that cancelled the call
            raise StreamEnded("the call was cancelled by the other side")
        task.result()
