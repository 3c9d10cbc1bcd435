"""Work in processes beside this one, which share what it has read: each gives back what it made, once.

Only for a program of one thread, as this one is: its processes are made by fork, so nothing is copied to them.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Apart(Generic[T]):
    """Begins at once; `result` waits."""

    def __init__(self, work: Callable[[], T]) -> None:
        reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(reading)
            _work(work, writing)
        os.close(writing)
        self._reading = reading

    def result(self) -> T:
        """Raises RuntimeError when the process did not come to its end."""
        with os.fdopen(self._reading, "rb") as pipe:
            made = pipe.read()
        _, status = os.waitpid(self._pid, 0)
        if status != 0:
            raise RuntimeError(f"a part of the work ended with status {status}")
        return cast(T, pickle.loads(made))  # noqa: S301 - our own process wrote it


def _work(work: Callable[[], object], writing: int) -> None:
    status = 1
    try:
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(work(), pipe, protocol=pickle.HIGHEST_PROTOCOL)
        status = 0
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
    os._exit(status)  # without what the parent means to do at its end
