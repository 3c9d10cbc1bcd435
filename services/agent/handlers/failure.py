"""Tells the service that a job belongs to when it failed for good, so that it need not find out by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from automesh.core.errors import AutomationError
from automesh.sdk.errors import failed

log = structlog.get_logger(__name__)


async def tell_failure(task_type: str, error: AutomationError, fail: Callable[[str, str], Awaitable[None]]) -> None:
    """Calls `fail` with reason and message, unless another attempt may help. A service that is away learns it later."""
    failure = failed(error, task_type)
    if failure.retryable:
        return
    try:
        await fail(failure.reason, failure.message)
    except AutomationError as untold:
        log.warning("a failure could not be told", reason=failure.reason, why=untold.message)
