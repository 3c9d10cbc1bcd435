"""W3C trace context: which request a call belongs to, carried from process to process (w3.org/TR/trace-context)."""

from __future__ import annotations

import random
import re

TRACEPARENT, REQUEST_ID = "traceparent", "x-request-id"
"""The metadata keys that are forwarded from call to call."""
_SHAPE = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def valid_traceparent(text: str) -> bool:
    """Whether `text` is a usable traceparent header."""
    return _SHAPE.fullmatch(text) is not None and not text.startswith("ff")


def new_traceparent() -> str:
    """The root of a new trace; not sampled until something records spans."""
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-00"


def new_request_id() -> str:
    """An id for a request that came without one. Unique, not secret: it is made for every such call."""
    return f"req_{random.getrandbits(96):024x}"


def trace_id(traceparent: str) -> str:
    """The 32 hexadecimal digits that all calls of one request share; empty for an empty traceparent."""
    return traceparent[3:35]
