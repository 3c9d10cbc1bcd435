"""Frames of the work stream: made from plain values, within the bounds the protocol sets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.sdk.errors import Failed, PermanentError
from automesh.sdk.task import LeasedTask

MAX_LINE = 4096  # characters
MAX_LINES = 1000  # a message
MAX_LOG_BYTES = 256 * 1024  # a message; far below any message limit, so that beats never wait long behind one
MAX_PROGRESS_MESSAGE = 1024  # characters
MAX_CHECKPOINT = 64 * 1024  # bytes
MAX_RESULT = 1024 * 1024  # bytes
MAX_FAILURE_MESSAGE = 16 * 1024  # bytes
MAX_DEPTH = 30  # levels; protobuf reads 100 messages deep, and a level of a Struct takes three
_ENVELOPE = 1024  # bytes left for what surrounds a result in its message


def text(value: object, limit: int) -> str:
    """Text that protobuf takes (no lone surrogates) and that is at most `limit` characters long."""
    clean = str(value).encode("utf-8", "replace").decode()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def fraction(value: float) -> float:
    """`value` brought into 0 to 1; what is not a number counts as 0."""
    return 0.0 if math.isnan(value) else min(max(value, 0.0), 1.0)


def lines_of(value: str) -> list[str]:
    """The lines of a piece of log, each within its bound."""
    return [text(line, MAX_LINE) for line in value.splitlines()]


def log_frames(token: bytes, lines: Iterable[str]) -> Iterator[pb.WorkRequest]:
    """Frames that carry `lines`, none of them longer than the protocol allows."""
    batch: list[str] = []
    size = 0
    for line in lines:
        length = len(line.encode()) + 4
        if batch and (len(batch) == MAX_LINES or size + length > MAX_LOG_BYTES):
            yield pb.WorkRequest(log=pb.Log(lease_token=token, lines=batch))
            batch, size = [], 0
        batch.append(line)
        size += length
    if batch:
        yield pb.WorkRequest(log=pb.Log(lease_token=token, lines=batch))


def succeeded_frame(token: bytes, result: Mapping[str, Any], max_message_bytes: int) -> pb.WorkRequest:
    """The end of an attempt that worked. Raises PermanentError for a result that cannot be sent."""
    struct = _struct(result)
    limit = min(MAX_RESULT, max_message_bytes - _ENVELOPE)
    size = struct.ByteSize()
    if size > limit // 6:  # the bound is on JSON, in which a character takes up to six bytes
        size = max(size, len(orjson.dumps(json_format.MessageToDict(struct))))
    if size > limit:
        raise PermanentError(
            "RESULT_TOO_LARGE",
            f"the result has {size} bytes, at most {limit} are allowed: store it as an artifact "
            "(await context.upload(name, data)) and return its name",
            size=size,
            limit=limit,
        )
    return pb.WorkRequest(done=pb.Done(lease_token=token, result=struct))


def failed_frame(token: bytes, failure: Failed) -> pb.WorkRequest:
    """The end of an attempt that did not work."""
    message = text(failure.message, MAX_FAILURE_MESSAGE)
    while len(message.encode()) > MAX_FAILURE_MESSAGE:
        message = text(message, len(message) * 3 // 4)
    told = pb.Failure(reason=failure.reason, message=message, retryable=failure.retryable)
    return pb.WorkRequest(done=pb.Done(lease_token=token, failure=told))


def leased_task(lease: pb.Lease, now: datetime) -> LeasedTask:
    """The task of a lease that was received at `now`."""
    limit = lease.timeout.ToTimedelta() if lease.HasField("timeout") else timedelta(0)
    return LeasedTask(
        task_id=lease.task_id,
        tenant_id=lease.tenant_id,
        type=lease.type,
        description=lease.description,
        input=json_format.MessageToDict(lease.input),
        attempt=lease.attempt,
        deadline=now + limit if limit > timedelta(0) else None,
        checkpoint=lease.checkpoint,
        traceparent=lease.traceparent,
    )


def _struct(result: Mapping[str, Any]) -> Struct:
    struct = Struct()
    try:
        _refuse_odd_values(result)
        struct.update(result)
    except (ValueError, TypeError, AttributeError) as error:  # UnicodeError is a ValueError
        raise _bad_result(str(error)) from error
    return struct


def _refuse_odd_values(value: object, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not a string")
            _refuse_odd_values(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_odd_values(item, depth + 1)


def _bad_result(why: str) -> PermanentError:
    return PermanentError(
        "RESULT_INVALID",
        "a handler must return a mapping of JSON values (dict, list, str, finite number, bool, None): "
        f"{text(why, 200)}",
    )
