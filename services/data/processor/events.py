"""What the program says on stdout: JSON objects, one a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

MAX_LINE = 1024 * 1024


def say(kind: str, **fields: Any) -> None:
    """One line, whole and at once."""
    line = json.dumps({"kind": kind, **fields}, separators=(",", ":"), allow_nan=False)
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def progress(fraction: float, message: str) -> None:
    """How far the work is, from 0 to 1, and what is being done."""
    say("progress", fraction=round(fraction, 3), message=message)


def done(result: Mapping[str, Any]) -> None:
    """The last line of work that was done."""
    say("done", result=result)


def failed(reason: str, message: str, *, retryable: bool = False) -> None:
    """The last line of work that cannot be done."""
    say("failed", reason=reason, message=message[:4000], retryable=retryable)
