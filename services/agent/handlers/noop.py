"""The task type `noop`: waits, then ends as it is told. For benchmarks, health checks and tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from automesh.core.errors import ValidationError
from automesh.sdk import LeasedTask, PermanentError, RetryableError, TaskContext
from services.agent.handlers.input import known, number

TYPE = "noop"
DESCRIPTION = (
    'Does nothing. Input: {"sleep_s": seconds to wait, at most 60; '
    '"fail": "permanent" or "retryable"; "result": anything, returned as it is}. All optional.'
)
MAX_SLEEP_S = 60.0
STEP_S = 1.0  # between two reports of progress
FAIL = ("permanent", "retryable")


async def noop(task: LeasedTask, context: TaskContext) -> Mapping[str, Any]:
    """A sdk Handler."""
    given = known(task.input, "sleep_s", "fail", "result")
    seconds = number(given, "sleep_s", default=0.0, most=MAX_SLEEP_S)
    fail = given.get("fail")
    if fail is not None and fail not in FAIL:
        raise ValidationError(f"fail is {fail!r}: it must be 'permanent' or 'retryable'", field="task.input.fail")
    await _sleep(seconds, context)
    if fail == "permanent":
        raise PermanentError("ASKED_TO_FAIL", "the task asked to fail for good")
    if fail == "retryable":
        raise RetryableError("ASKED_TO_FAIL", f"the task asked attempt {context.attempt} to fail")
    return {"result": given.get("result"), "slept_s": seconds}


async def _sleep(seconds: float, context: TaskContext) -> None:
    slept = 0.0
    while slept < seconds:
        step = min(STEP_S, seconds - slept)
        await asyncio.sleep(step)
        slept += step
        context.progress(slept / seconds, f"slept {slept:g} of {seconds:g} s")
