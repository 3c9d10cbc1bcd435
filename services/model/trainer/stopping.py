"""SIGTERM: the loop is asked to leave a checkpoint and go; what cannot be asked is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(Exception):
    """Somebody wants the program to end; a checkpoint is on disk already."""


class Stopping:
    """Whether somebody wants the program to end."""

    def __init__(self) -> None:
        self.wanted = False
        self._at_once = False

    def listen(self) -> None:
        """From now on. Only the main thread may call this."""
        signal.signal(signal.SIGTERM, self._asked)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raises Stopped out of whatever runs inside, the moment SIGTERM comes."""
        if self.wanted:
            raise Stopped
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        self.wanted = True
        if self._at_once:
            raise Stopped
