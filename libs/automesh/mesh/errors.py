"""Errors of the domain <-> gRPC statuses. The only place that knows both; follows AIP-193 (one ErrorInfo each)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from automesh.core import errors
from automesh.core.errors import AutomationError, FieldViolation, Kind, ValidationError

DOMAIN = "automesh"
DETAILS_KEY = "grpc-status-details-bin"
MOST_MESSAGE, MOST_VALUE, MOST_VIOLATIONS = 1024, 256, 16
"""Bytes of a message, of a variable, and how many fields are named: a status travels in trailers, which gRPC
drops with the status itself from 16 KiB on, and parts of the request are often quoted in it."""
MOST_STATUS = 45_000
"""Bytes of a status with details of its own. In base64, beside the message, it just fits into the 64 KiB of trailers
that channels of the mesh take; servicers send others less."""

STATUS: dict[Kind, grpc.StatusCode] = {
    Kind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Kind.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Kind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Kind.CONFLICT: grpc.StatusCode.ALREADY_EXISTS,
    Kind.PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
    Kind.ABORTED: grpc.StatusCode.ABORTED,
    Kind.EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Kind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Kind.DEADLINE: grpc.StatusCode.DEADLINE_EXCEEDED,
    Kind.CANCELLED: grpc.StatusCode.CANCELLED,
    Kind.UNIMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
    Kind.INTERNAL: grpc.StatusCode.INTERNAL,
}


class DeadlineExceeded(AutomationError):
    """The caller's time was up."""

    kind = Kind.DEADLINE
    reason = "DEADLINE_EXCEEDED"


class Cancelled(AutomationError):
    """The caller, or somebody above, gave up."""

    kind = Kind.CANCELLED
    reason = "CANCELLED"


class Unimplemented(AutomationError):
    """The service does not know the method."""

    kind = Kind.UNIMPLEMENTED
    reason = "UNIMPLEMENTED"


class Precondition(AutomationError):
    """A FAILED_PRECONDITION whose reason this program does not know."""

    kind = Kind.PRECONDITION
    reason = "FAILED_PRECONDITION"


class Aborted(AutomationError):
    """Somebody was faster: read again, then retry."""

    kind = Kind.ABORTED
    reason = "ABORTED"


_USUAL = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
_FRAMING = 8  # bytes of tag and length around a detail

_BY_CODE: dict[grpc.StatusCode, type[AutomationError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: ValidationError,
    grpc.StatusCode.OUT_OF_RANGE: ValidationError,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: Precondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Exhausted,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
}


def to_status(error: AutomationError) -> status_pb2.Status:
    """The whole error as google.rpc.Status, details included."""
    status = status_pb2.Status(code=_number(STATUS[error.kind]), message=_cut(error.message, MOST_MESSAGE))
    metadata = {key: _cut(value, MOST_VALUE) for key, value in error.metadata.items()}
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    if isinstance(error, ValidationError) and error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations[:MOST_VIOLATIONS]:
            bad.field_violations.add(
                field=_cut(violation.field, MOST_VALUE), description=_cut(violation.description, MOST_VALUE)
            )
        status.details.add().Pack(bad)
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(error.retry_after)
        status.details.add().Pack(retry)
    _add_own(status, error.details)
    return status


def _add_own(status: status_pb2.Status, details: tuple[object, ...]) -> None:
    """After the usual ones. What does not fit is left out, since gRPC would drop the whole status."""
    size = status.ByteSize()
    for detail in details:
        packed = any_pb2.Any()
        if isinstance(detail, any_pb2.Any):
            packed.CopyFrom(detail)
        elif isinstance(detail, Message):
            packed.Pack(detail)
        else:
            raise TypeError(f"details are protobuf messages, not {type(detail).__name__}")
        size += packed.ByteSize() + _FRAMING
        if size > MOST_STATUS:
            return
        status.details.append(packed)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: AutomationError) -> NoReturn:
    """Ends the call with the error's status."""
    status = to_status(error)
    trailing = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(STATUS[error.kind], status.message, trailing_metadata=trailing)
    raise AssertionError("abort returns never")


def _cut(text: str, most: int) -> str:
    """Measured as UTF-8, since every byte beyond ASCII takes three in a trailer."""
    encoded = text.encode(errors="replace")
    return text if len(encoded) <= most else encoded[: most - 3].decode(errors="ignore") + "…"


def from_rpc_error(error: grpc.RpcError) -> AutomationError:
    """The error that the server raised, as the same class where this program knows it, else by its code."""
    code = error.code()
    message = error.details() or code.name.lower()
    status = _status(error)
    info, violations, retry_after = _details(status)
    cls = _by_reason().get(info.reason) if info is not None and info.domain == DOMAIN else None
    cls = cls or _BY_CODE.get(code, errors.InternalError)
    metadata = dict(info.metadata) if info is not None else {}
    rebuilt = _rebuilt(cls, message, metadata, retry_after, violations)
    if info is not None and info.domain == DOMAIN:
        rebuilt.reason = info.reason  # type: ignore[misc]  # of a class that this program may not know
    rebuilt.details = tuple(_own(status))
    return rebuilt


@contextmanager
def translating_errors() -> Iterator[None]:
    """Around calls to other services, so that no AioRpcError goes further up."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


def _rebuilt(
    cls: type[AutomationError],
    message: str,
    metadata: dict[str, str],
    retry_after: timedelta | None,
    violations: tuple[FieldViolation, ...] = (),
) -> AutomationError:
    # Subclasses may have constructors of their own; what is rebuilt needs only the common part.
    error = cls.__new__(cls)
    AutomationError.__init__(error, message, retry_after=retry_after)
    error.metadata = metadata
    if isinstance(error, ValidationError):
        error.violations = violations
    return error


def _details(
    status: status_pb2.Status,
) -> tuple[error_details_pb2.ErrorInfo | None, tuple[FieldViolation, ...], timedelta | None]:
    info: error_details_pb2.ErrorInfo | None = None
    violations: tuple[FieldViolation, ...] = ()
    retry_after: timedelta | None = None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            violations = tuple(FieldViolation(each.field, each.description) for each in bad.field_violations)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after = retry.retry_delay.ToTimedelta()
    return info, violations, retry_after


def _own(status: status_pb2.Status) -> Iterator[Message]:
    """The details beside the usual ones; a type that this program does not know stays packed."""
    pool = descriptor_pool.Default()
    for detail in status.details:
        if any(detail.Is(usual.DESCRIPTOR) for usual in _USUAL):
            continue
        try:
            descriptor = pool.FindMessageTypeByName(detail.type_url.rpartition("/")[2])
            yield message_factory.GetMessageClass(descriptor).FromString(detail.value)
        except (KeyError, DecodeError):
            yield detail


def _status(error: grpc.RpcError) -> status_pb2.Status:
    status = status_pb2.Status()
    trailing: Any = error.trailing_metadata() or ()  # the stubs do not say that its items are pairs
    for key, value in trailing:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status.ParseFromString(value)
            except DecodeError:
                return status_pb2.Status()
    return status


def _by_reason() -> dict[str, type[AutomationError]]:
    # Not cached: services define further classes whenever they are imported.
    found: dict[str, type[AutomationError]] = {}
    waiting: list[type[AutomationError]] = [AutomationError]
    while waiting:
        cls = waiting.pop()
        found.setdefault(cls.reason, cls)
        waiting += cls.__subclasses__()
    return found


@cache
def _number(code: grpc.StatusCode) -> int:
    return int(code_pb2.Code.Value(code.name))
