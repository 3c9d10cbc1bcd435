"""What the gateway itself refuses, before any service is asked. Each knows its HTTP status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from automesh.core.errors import AutomationError, Kind


class HttpRefusal(AutomationError):
    """An error whose HTTP status says more than its gRPC code; `headers` go into the response."""

    kind = Kind.INVALID
    reason = "BAD_REQUEST"
    http_status: ClassVar[int] = 400

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None, **metadata: object) -> None:
        super().__init__(message, retry_after=None, **metadata)
        self.headers: Mapping[str, str] = headers or {}


class RouteNotFound(HttpRefusal):
    """No method of any service has this path."""

    kind = Kind.NOT_FOUND
    reason = "ROUTE_NOT_FOUND"
    http_status = 404


class MethodNotAllowed(HttpRefusal):
    """The path exists, but not with this HTTP method; the header Allow says which ones do."""

    kind = Kind.UNIMPLEMENTED
    reason = "METHOD_NOT_ALLOWED"
    http_status = 405


class BodyTooSlow(HttpRefusal):
    """The request body did not come in time."""

    kind = Kind.DEADLINE
    reason = "BODY_TOO_SLOW"
    http_status = 408


class BodyTooLarge(HttpRefusal):
    """The request body is over the limit."""

    reason = "BODY_TOO_LARGE"
    http_status = 413


class UnsupportedContent(HttpRefusal):
    """The request body is of a type or encoding that the method does not take."""

    reason = "UNSUPPORTED_CONTENT_TYPE"
    http_status = 415


class HeadersTooLarge(HttpRefusal):
    """The request headers are over the limit."""

    reason = "HEADERS_TOO_LARGE"
    http_status = 431


class BadHeader(HttpRefusal):
    """A header that cannot be understood, or that nobody may send."""

    reason = "BAD_HEADER"


class BadPath(HttpRefusal):
    """A path with a malformed escape, or one that is not UTF-8."""

    reason = "BAD_PATH"


class Stopping(HttpRefusal):
    """The gateway is going down; another one, or this one a moment later, will answer."""

    kind = Kind.UNAVAILABLE
    reason = "GATEWAY_STOPPING"
    http_status = 503
