"""Errors as HTTP: google.rpc.Status in JSON, with the status line and headers that the code stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass

import grpc
import orjson
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from automesh.core.errors import AutomationError, InternalError
from automesh.mesh.errors import DETAILS_KEY, to_status
from gateway.codec import BadValue
from gateway.codec.encode import Encoder
from gateway.refusals import HttpRefusal

JSON = "application/json"
CLIENT_CLOSED_REQUEST = 499

HTTP_STATUS: dict[int, int] = {
    code_pb2.OK: 200,
    code_pb2.CANCELLED: CLIENT_CLOSED_REQUEST,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
    code_pb2.UNAUTHENTICATED: 401,
}
_UNAUTHORIZED = 401
# What gRPC itself says about a connection names addresses that are nobody's business outside of the mesh.
_TRANSPORT_TEXT = re.compile(
    r"ipv[46]:|unix:|Socket closed|xds|connections to all backends|weighted_target|DNS|GOAWAY|recvmsg|handshake", re.I
)


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An error, ready to be sent."""

    http_status: int
    code: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class ErrorWriter:
    """Turns whatever went wrong into an ErrorResponse. Knows the message types of one pool; others stay base64."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._encoder = Encoder(pool)

    def write(self, error: BaseException, *, service: str = "") -> ErrorResponse:
        """`service` is the backend that was asked. Unforeseen errors become INTERNAL without their text."""
        if isinstance(error, BadValue):
            error = error.refusal()
        if isinstance(error, grpc.aio.AioRpcError):
            return self._response(status_of(error, service))
        if not isinstance(error, AutomationError):
            error = InternalError("internal error")
        status = to_status(error)
        if isinstance(error, HttpRefusal):
            return self._response(status, error.http_status, tuple(error.headers.items()))
        return self._response(status)

    def _response(
        self, status: status_pb2.Status, http_status: int = 0, headers: tuple[tuple[str, str], ...] = ()
    ) -> ErrorResponse:
        http_status = http_status or HTTP_STATUS.get(status.code, 500)
        if http_status == _UNAUTHORIZED:
            headers = (*headers, ("www-authenticate", 'Bearer realm="automesh"'))
        retry_after = retry_after_s(status)
        if retry_after:
            headers = (*headers, ("retry-after", str(retry_after)))
        return ErrorResponse(http_status, status.code, headers, self.json(status))

    def json(self, status: status_pb2.Status) -> bytes:
        """google.rpc.Status; details of unknown types keep their bytes as base64."""
        details = [self._encoder.show_any(detail) for detail in status.details]
        return orjson.dumps({"code": status.code, "message": status.message, "details": details})


def status_of(error: grpc.aio.AioRpcError, service: str = "") -> status_pb2.Status:
    """What the backend said, details included; what gRPC said about the connection is put in our words."""
    code = int(code_pb2.Code.Value(error.code().name))
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            status = _parsed(value)
            if status is not None and status.code == code:
                return status
    message = error.details() or ""
    if code == code_pb2.UNAVAILABLE and _TRANSPORT_TEXT.search(message):
        message = f"the service {service or 'behind this path'} cannot be reached just now: try again in a moment"
    return status_pb2.Status(code=code, message=message)


def retry_after_s(status: status_pb2.Status) -> int:
    """Whole seconds from RetryInfo, at least 1; 0 when there is none."""
    for detail in status.details:
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            seconds: int = retry.retry_delay.seconds + (1 if retry.retry_delay.nanos > 0 else 0)
            return max(1, seconds)
    return 0


def _parsed(value: bytes) -> status_pb2.Status | None:
    try:
        return status_pb2.Status.FromString(value)
    except DecodeError:
        return None
