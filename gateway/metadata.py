"""HTTP headers <-> gRPC metadata, and the deadline. What names the mesh's own keys is never let in from outside."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from automesh.telemetry.traces import TRACEPARENT, new_traceparent, valid_traceparent
from gateway.headers import Headers
from gateway.refusals import BadHeader
from gateway.rpc import Metadata

PREFIX = "grpc-metadata-"
REQUEST_ID = "x-request-id"
MAX_REQUEST_ID = 128

_KEY = re.compile(r"[a-z0-9_.-]+")
_VALUE = re.compile(r"[ -~]*")
_REQUEST_ID = re.compile(rf"[!-~]{{1,{MAX_REQUEST_ID}}}")
_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
# Set by gRPC, by this gateway or by the mesh: a client that could set them would speak for somebody else.
_RESERVED = frozenset(
    {"authorization", "connection", "content-type", "host", "te", "traceparent", "tracestate", "user-agent", REQUEST_ID}
)
_RESERVED_PREFIXES = ("grpc-", ":", "automesh-", "x-automesh-", "x-forwarded-", "x-envoy-", "endpoint-load-metrics")
_NOT_RETURNED = frozenset({"content-type", "server", "date", "user-agent", REQUEST_ID})


def request_id_of(headers: Headers) -> str:
    """The client's X-Request-Id when it is printable and short, else a new one."""
    given = headers.get(REQUEST_ID)
    # Not core's new_id: its order by time, of no use here, would cost a tenth of a small request.
    return given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long calls may take, in seconds."""

    default_s: float
    stream_s: float
    longest_s: float

    def timeout_s(self, headers: Headers, *, streaming: bool) -> float:
        """From Grpc-Timeout or X-Request-Timeout (seconds), capped; raises BadHeader when one cannot be understood."""
        asked = _asked(headers)
        if asked is None:
            return self.stream_s if streaming else self.default_s
        return min(asked, self.stream_s if streaming else self.longest_s)


def _asked(headers: Headers) -> float | None:
    text = headers.get("grpc-timeout")
    if text:
        match = _GRPC_TIMEOUT.fullmatch(text)
        if match is None:
            raise BadHeader(
                "Grpc-Timeout must be digits and one of H M S m u n, for example 500m", header="grpc-timeout"
            )
        return int(match[1]) * _UNITS[match[2]]
    text = headers.get("x-request-timeout")
    if text:
        if not _SECONDS.fullmatch(text):
            raise BadHeader("X-Request-Timeout must be seconds, for example 2.5", header="x-request-timeout")
        return float(text)
    return None


def to_metadata(
    headers: Headers, *, request_id: str, authorization: str, peer: str, trust_forwarded: bool = False
) -> Metadata:
    """What goes to the service. Raises BadHeader for Grpc-Metadata-* that is malformed or reserved."""
    metadata: list[tuple[str, str | bytes]] = [(REQUEST_ID, request_id)]
    if authorization:
        metadata.append(("authorization", authorization))
    metadata.extend(_trace(headers))
    forwarded = _forwarded_for(headers, peer, trust_forwarded)
    if forwarded:
        metadata.append(("x-forwarded-for", forwarded))
    metadata.extend(_passed(headers))
    return metadata


def _trace(headers: Headers) -> Iterator[tuple[str, str]]:
    """The client's trace, or a new one, so that what all services log about a request can be found together."""
    traceparent = headers.get(TRACEPARENT)
    if not valid_traceparent(traceparent):
        yield TRACEPARENT, new_traceparent()
        return
    yield TRACEPARENT, traceparent
    tracestate = headers.get("tracestate")
    if tracestate and _VALUE.fullmatch(tracestate):
        yield "tracestate", tracestate


def _forwarded_for(headers: Headers, peer: str, trust: bool) -> str:
    """The client's address; behind a trusted proxy, the list that the proxy began."""
    before = headers.get("x-forwarded-for") if trust else ""
    return f"{before}, {peer}" if before and _VALUE.fullmatch(before) else peer


def _passed(headers: Headers) -> Iterator[tuple[str, str | bytes]]:
    for name, value in headers.items():
        if name.startswith(PREFIX):
            key = name[len(PREFIX) :]
            _check_key(name, key)
            yield key, _binary(name, value) if key.endswith("-bin") else _text(name, value)


def _check_key(name: str, key: str) -> None:
    if not _KEY.fullmatch(key):
        raise BadHeader(f"{name} is no name of gRPC metadata", header=name)
    if key in _RESERVED or key.startswith(_RESERVED_PREFIXES):
        raise BadHeader(f"{name} is reserved: it cannot be set from outside", header=name)


def _text(name: str, value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise BadHeader(
            f"{name} holds more than printable ASCII: give the name the suffix -bin and encode it", header=name
        )
    return value


def _binary(name: str, value: str) -> bytes:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadHeader(f"{name} is not base64", header=name) from None


def to_headers(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """A service's initial metadata as Grpc-Metadata-* headers; binary values in base64."""
    headers = []
    for key, value in metadata:
        if key in _NOT_RETURNED or key.startswith(_RESERVED_PREFIXES):
            continue
        text = base64.b64encode(value) if isinstance(value, bytes) else value.encode("ascii", "replace")
        headers.append((f"{PREFIX}{key}".encode("ascii"), text))
    return headers
