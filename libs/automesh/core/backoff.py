"""How long to wait before trying again: exponential, with full jitter on the upper half."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Waits that double from `first_s` to `most_s` seconds, each shortened at random by up to a half."""

    def __init__(self, *, first_s: float, most_s: float, rand: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._rand = rand
        self._tries = 0

    def next_s(self) -> float:
        """Seconds to wait now; the next call answers longer."""
        longest = min(self._most_s, self._first_s * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return longest * (0.5 + 0.5 * self._rand())

    def reset(self) -> None:
        """It worked: start over with short waits."""
        self._tries = 0
