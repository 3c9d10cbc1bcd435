"""What a handler is given to work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedTask:
    """One attempt at a task, leased to this agent."""

    task_id: str
    tenant_id: str
    type: str
    description: str
    input: Mapping[str, Any]
    """As given by whoever created the task; all numbers are floats."""
    attempt: int
    """Counts from 1. Also the fencing epoch: hand it to systems that can refuse an older one."""
    deadline: datetime | None
    """When this attempt is stopped for taking too long. None: never."""
    checkpoint: bytes
    """The last checkpoint of an earlier attempt. Empty when there is none."""
    traceparent: str
    """W3C trace context of whoever created the task. May be empty."""
