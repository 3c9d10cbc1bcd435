"""When a failed attempt is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from automesh.core.errors import ValidationError

MAX_RETRIES = 100
MAX_DELAY = timedelta(hours=1)
MAX_MULTIPLIER = 10.0
MAX_CRASHES = 5
"""A task whose agents died this often is given up: it is likely what kills them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a failed attempt is tried again, and after which waits."""

    max_retries: int = 3
    initial_delay: timedelta = timedelta(seconds=5)
    multiplier: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.max_retries <= MAX_RETRIES:
            raise ValidationError(
                f"max_retries {self.max_retries} is not between 0 and {MAX_RETRIES}",
                field="task.retry_policy.max_retries",
                maxRetries=self.max_retries,
            )
        if not timedelta(0) <= self.initial_delay <= MAX_DELAY:
            raise ValidationError(
                f"initial_delay {self.initial_delay.total_seconds():g} s is not between 0 and 3600 s",
                field="task.retry_policy.initial_delay",
            )
        if not 1.0 <= self.multiplier <= MAX_MULTIPLIER:
            raise ValidationError(
                f"multiplier {self.multiplier:g} is not between 1 and {MAX_MULTIPLIER:g}",
                field="task.retry_policy.multiplier",
            )

    def delay(self, failures: int, jitter: float) -> timedelta:
        """The wait after the failure that follows `failures` earlier ones, times `jitter` (1.0: none)."""
        exact_s = self.initial_delay.total_seconds() * self.multiplier**failures
        return timedelta(seconds=min(MAX_DELAY.total_seconds(), exact_s) * jitter)


def jitter_between(random: float) -> float:
    """A jitter factor from a random number in [0, 1): waits spread over 75 to 125 %."""
    return 0.75 + random / 2
