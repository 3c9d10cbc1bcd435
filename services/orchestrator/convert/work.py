"""Messages of WorkService and the domain. Texts of agents are cut to their bounds rather than refused."""

from __future__ import annotations

import math
import re

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.mesh import times
from automesh.orchestrator.v1 import work_service_pb2 as pb
from services.orchestrator.convert import values
from services.orchestrator.domain.agents import Agent, Capability, NewAgent
from services.orchestrator.domain.events import Acked, Attached, Beat, Event, Goaway, Leased, Lost
from services.orchestrator.domain.lease import Ended, LeaseKey, Outcome, Report, Terms
from services.orchestrator.domain.task import Failure

MAX_LINE, MAX_LINES = 4096, 1000
MAX_PROGRESS_MESSAGE, MAX_FAILURE_MESSAGE = 1024, 16 * 1024
MAX_CHECKPOINT = 64 * 1024
MAX_HELD = 10_000
_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


def new_agent(request: pb.RegisterRequest) -> NewAgent:
    """What an agent says of itself."""
    return NewAgent(
        name=request.name,
        capabilities=tuple(Capability(told.type, told.description) for told in request.capabilities),
        slots=request.slots,
        version=request.version,
    )


def registered(agent_id: str, terms: Terms, max_message_bytes: int) -> pb.RegisterResponse:
    """The answer to Register; its time is that of the machine, good enough for people to compare clocks by."""
    response = pb.RegisterResponse(
        agent_id=agent_id,
        heartbeat_interval=times.duration(terms.heartbeat),
        lease_ttl=times.duration(terms.lease_ttl),
        max_message_bytes=max_message_bytes,
    )
    response.server_time.GetCurrentTime()
    return response


def attach(request: pb.WorkRequest) -> pb.Attach:
    """The first message of a stream. Raises ValidationError for anything else."""
    told = request.attach
    if request.WhichOneof("message") != "attach" or not told.agent_id:
        raise ValidationError("the first message of a Work stream is `attach` with an agent_id", field="attach")
    if not told.session_id or len(told.session_id) > MAX_PROGRESS_MESSAGE or "\x00" in told.session_id:
        raise ValidationError("attach needs a session_id, random and new for every stream", field="attach.session_id")
    if len(told.held) > MAX_HELD:
        raise ValidationError(f"an agent cannot hold {len(told.held)} leases", field="attach.held")
    return told


def progress(message: pb.Progress, lease_key: LeaseKey, agent_id: str) -> Report:
    """How far a task is. Raises ValidationError for a fraction that is none, and for a checkpoint that is too big."""
    if not 0.0 <= message.fraction <= 1.0 or math.isnan(message.fraction):
        raise ValidationError(f"fraction {message.fraction} is not between 0 and 1", field="progress.fraction")
    if len(message.checkpoint) > MAX_CHECKPOINT:
        raise ValidationError(
            f"a checkpoint of {len(message.checkpoint)} bytes is more than {MAX_CHECKPOINT}: store an artifact",
            field="progress.checkpoint",
        )
    return Report(
        lease_key,
        agent_id,
        fraction=message.fraction,
        message=_text(message.message, MAX_PROGRESS_MESSAGE),
        checkpoint=message.checkpoint if message.HasField("checkpoint") else None,
    )


def lines(message: pb.Log, lease_key: LeaseKey, agent_id: str) -> Report:
    """Lines, each cut to its bound. Raises ValidationError for too many of them."""
    if len(message.lines) > MAX_LINES:
        raise ValidationError(f"{len(message.lines)} lines in one message are more than {MAX_LINES}", field="log.lines")
    return Report(lease_key, agent_id, lines=tuple(_text(line, MAX_LINE) for line in message.lines))


def outcome(message: pb.Done, lease_key: LeaseKey, agent_id: str, jitter: float) -> Outcome:
    """The end of an attempt. A result that cannot be stored is a permanent failure of the attempt."""
    if message.WhichOneof("outcome") == "failure":
        return Outcome(lease_key, agent_id, failure=_failure(message.failure, lease_key.attempt), jitter=jitter)
    try:
        return Outcome(lease_key, agent_id, result=values.document(message.result, field="result"))
    except ValidationError as error:
        failure = Failure("RESULT_INVALID", error.message, False, lease_key.attempt)
        return Outcome(lease_key, agent_id, failure=failure, jitter=jitter)


def responses(event: Event) -> list[pb.WorkResponse]:
    """The messages of one event."""
    if isinstance(event, Lost):
        return _lost(event)
    return [_response(event)]


def agent(agent: Agent) -> pb.AgentInfo:
    """What people see of an agent."""
    return pb.AgentInfo(
        agent_id=agent.agent_id,
        name=agent.spec.name,
        capabilities=[
            pb.Capability(type=capability.type, description=capability.description)
            for capability in agent.spec.capabilities
        ],
        slots=agent.spec.slots,
        leases=agent.leases,
        connected=agent.connected,
        draining=agent.draining,
        last_seen_time=times.timestamp(agent.last_seen_at),
        version=agent.spec.version,
    )


def agents_page(request: pb.ListAgentsRequest) -> tuple[int, str | None]:
    """How many, and after which id."""
    return paging.page_size(request.page_size), paging.decode_token(request.page_token, filters="agents")


def agents_token(last: Agent) -> str:
    """Continues after `last`."""
    return paging.encode_token(last.agent_id, filters="agents")


def _response(event: Attached | Leased | Acked | Beat | Goaway) -> pb.WorkResponse:
    match event:
        case Attached():
            return pb.WorkResponse(attached=pb.Attached(keep=event.keep, drop=event.drop))
        case Leased():
            return pb.WorkResponse(lease=_lease(event))
        case Acked():
            return pb.WorkResponse(ack=pb.Ack(lease_token=event.token, stale=event.stale))
        case Goaway():
            return pb.WorkResponse(goaway=pb.Goaway(reconnect_after=times.duration(event.after)))
        case Beat():
            return pb.WorkResponse(heartbeat=pb.Heartbeat())


def _lease(event: Leased) -> pb.Lease:
    task = event.task
    return pb.Lease(
        lease_token=event.token,
        task_id=task.task_id,
        tenant_id=task.tenant_id,
        type=task.spec.type,
        description=task.spec.description,
        input=values.struct(task.spec.input),
        attempt=task.attempt,
        timeout=times.duration(task.spec.timeout),
        checkpoint=task.checkpoint,
        traceparent=task.traceparent,
    )


def _lost(event: Lost) -> list[pb.WorkResponse]:
    revoked = pb.WorkResponse(revoked=pb.Revoked(lease_token=event.token, reason=event.loss.ended))
    if event.loss.ended is not Ended.CANCELLED:
        return [revoked]
    return [pb.WorkResponse(cancel=pb.Cancel(lease_token=event.token, reason=event.loss.text)), revoked]


def _failure(message: pb.Failure, attempt: int) -> Failure:
    reason = message.reason if _REASON.fullmatch(message.reason) else "UNSPECIFIED"
    return Failure(reason, _text(message.message, MAX_FAILURE_MESSAGE), message.retryable, attempt)


def _text(text: str, limit: int) -> str:
    clean = text.replace("\x00", "\ufffd")  # which PostgreSQL cannot store
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
