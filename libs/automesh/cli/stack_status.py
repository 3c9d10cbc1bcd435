"""The processes of a stack as a table, and as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from automesh.cli.output import literal, short, table
from automesh.local.probes import gateway_answers
from automesh.local.record import ProcessRecord, StackRecord
from automesh.local.state import LocalState
from automesh.local.usage import Usage, usage_of

SUPERVISOR = "(supervisor)"
_MIB = 1024 * 1024
_STYLE = {"up": "green", "waiting": "dim", "starting": "yellow", "backoff": "red", "failed": "bold red"}
_COLUMNS = ("name", "pid", "port", "health", "memory", "restarts", "up for")


async def overall_health(record: StackRecord) -> str:
    """What the gateway tells anybody, SERVING, DEGRADED or NOT_SERVING; else why it tells nothing."""
    try:
        port = int(record.gateway_url.rpartition(":")[2])
    except ValueError:
        return "starting"
    return short((await gateway_answers(port, Path(record.web_ca))).detail)


def status_table(record: StackRecord, *, health: str = "", memory: bool = True) -> Table:
    """For people. `memory` False saves the look at every process."""
    usages = _usages(record) if memory else {}
    rows = [_row(name, process, usages.get(name)) for name, process in _processes(record).items()]
    total = sum(usage.memory_bytes for usage in usages.values())
    title = f"{record.gateway_url}  registry {record.registry}" + (f"  {health}" if health else "")
    made = table(_COLUMNS, rows, title=title)
    made.caption = f"{total // _MIB} MiB in all" if memory else None
    made.title_justify = made.caption_justify = "left"
    return made


def as_document(state: LocalState, record: StackRecord, health: str) -> dict[str, Any]:
    """For programs."""
    usages = _usages(record)
    return {
        "running": True,
        "ready": record.ready,
        "health": health,
        "pid": record.pid,
        "state_dir": str(state.folder),
        "gateway_url": record.gateway_url,
        "control_address": record.control_address,
        "registry": record.registry,
        "web_ca": record.web_ca,
        "memory_bytes": sum(usage.memory_bytes for usage in usages.values()),
        "processes": [_entry(name, process, usages[name]) for name, process in _processes(record).items()],
    }


def _processes(record: StackRecord) -> dict[str, ProcessRecord]:
    own = ProcessRecord(pid=record.pid, started=record.started, state="up")
    return {**record.processes, SUPERVISOR: own}


def _usages(record: StackRecord) -> Mapping[str, Usage]:
    own = usage_of(ProcessRecord(pid=record.pid, started=record.started), family=False)
    return {**{name: usage_of(process) for name, process in record.processes.items()}, SUPERVISOR: own}


def _row(name: str, process: ProcessRecord, usage: Usage | None) -> tuple[str | Text, ...]:
    told = process.state + (f": {process.detail}" if process.detail and process.state != "up" else "")
    return (
        name,
        str(process.pid or "-"),
        str(process.port or process.address or "-"),
        literal(told.splitlines()[0][:100] if told else "", _STYLE.get(process.state, "yellow")),
        f"{usage.memory_bytes // _MIB} MiB" if usage and usage.alive else "-",
        str(process.restarts),
        _duration(time.time() - process.started) if process.pid and process.started else "-",
    )


def _entry(name: str, process: ProcessRecord, usage: Usage) -> dict[str, Any]:
    return {
        "name": name.strip("()"),
        "pid": process.pid,
        "port": process.port,
        "address": process.address,
        "state": process.state if usage.alive or not process.pid else "gone",
        "detail": process.detail,
        "memory_bytes": usage.memory_bytes,
        "restarts": process.restarts,
        "uptime_s": round(usage.uptime_s, 1),
        "log": process.log,
    }


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours or minutes else f"{rest} s"
