"""What the program says on stdout: JSON objects, one a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any


def progress(fraction: float, message: str) -> None:
    """How far the work is, from 0 to 1, and what is being done."""
    _say("progress", fraction=round(fraction, 3), message=message)


def done(result: Mapping[str, Any]) -> None:
    """The last line of work that was done."""
    _say("done", result=result)


def failed(reason: str, message: str) -> None:
    """The last line of work that cannot be done; trying again changes nothing."""
    _say("failed", reason=reason, message=message, retryable=False)


def _say(kind: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"kind": kind, **fields}, separators=(",", ":")) + "\n")
    sys.stdout.flush()
