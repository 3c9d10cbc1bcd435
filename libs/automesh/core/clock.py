"""The clock as a port, so that what depends on time can be tested without waiting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present moment, always with a timezone."""


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)
