"""Why a process ended: from its exit code, and from the last thing it said in its log."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from typing import Any

import orjson

from automesh.local.logfile import LogFile

START_EVENT = "started by the supervisor"
_LOOK_AT = 40
_SHOWN = 3


def start_line(process: str) -> bytes:
    """Written before each start, so that a log shows where a new life begins."""
    event = {"event": START_EVENT, "level": "info", "service": process, "timestamp": datetime.now(UTC).isoformat()}
    return orjson.dumps(event) + b"\n"


def ending(code: int) -> str:
    """An exit code in words; negative ones are signals, as in asyncio."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def last_words(log_file: LogFile) -> str:
    """The last error since the last start, else the last lines."""
    lines: list[str] = []
    for line in reversed(log_file.tail(_LOOK_AT)):
        event = parse(line)
        if event is not None and event["event"] == START_EVENT:
            break
        if event is not None and event.get("level") in ("error", "critical"):
            return _told(event)
        if line.strip():
            lines.insert(0, line)
    return "\n".join(lines[-_SHOWN:]) or "nothing in its log"


def parse(line: str) -> dict[str, Any] | None:
    """A JSON log line; None for anything else."""
    if not line.startswith("{"):
        return None
    try:
        event = orjson.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _told(event: dict[str, Any]) -> str:
    error = event.get("error") or _exception(event)
    return f"{event['event']}: {error}" if error else str(event["event"])


def _exception(event: dict[str, Any]) -> str:
    trace = event.get("exception")
    if isinstance(trace, list) and trace and isinstance(trace[-1], dict):
        return f"{trace[-1].get('exc_type', '')}: {trace[-1].get('exc_value', '')}"
    return str(trace).strip().rsplit("\n", 1)[-1] if trace else ""
