"""W3C trace context: which request a call belongs to, carried from process to process (w3.org/TR/trace-context)."""

from __future__ import annotations

import re
import secrets

TRACEPARENT = "traceparent"
_SHAPE = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def valid_traceparent(text: str) -> bool:
    """Whether `text` is a usable traceparent header."""
    return _SHAPE.fullmatch(text) is not None and not text.startswith("ff")


def new_traceparent() -> str:
    """The root of a new trace; not sampled until something records spans."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def trace_id(traceparent: str) -> str:
    """The 32 hexadecimal digits that all calls of one request share; empty for an empty traceparent."""
    return traceparent[3:35]
