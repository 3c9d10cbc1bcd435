"""A token bucket: so many at once, so many a second after that."""

from __future__ import annotations

import time
from collections.abc import Callable


class TokenBucket:
    """Holds at most `burst` tokens and gains `rate` of them a second. Not for several threads."""

    def __init__(self, *, rate: float, burst: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._monotonic = rate, burst, monotonic
        self._tokens, self._at = burst, monotonic()

    def take(self) -> bool:
        """Takes a token; False when there is none."""
        now = self._monotonic()
        self._tokens, self._at = min(self._burst, self._tokens + (now - self._at) * self._rate), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
