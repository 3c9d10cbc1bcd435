"""What the program says on stdout: one JSON object a line. A process that is not to speak keeps silent."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

HEARTBEAT_S = 4.0
MAX_POINTS = 500
"""Points of one line: far below the 1 MiB that a line may have."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric."""

    name: str
    value: float
    step: int
    epoch: int
    time: float


class Reporter:
    """Writes whole lines, from any thread."""

    def __init__(self, stream: IO[str] | None) -> None:
        """`stream` is None for a process that is not to speak (any rank but the first)."""
        self._stream = stream
        self._lock = threading.Lock()
        self._last = time.monotonic()

    def progress(self, fraction: float, message: str) -> None:
        """How far it is, for people."""
        self._say({"kind": "progress", "fraction": round(min(max(fraction, 0.0), 1.0), 4), "message": message})

    def alive(self) -> None:
        """A sign of life, if there was none for a while. Called from the work itself: a hang stays silent."""
        if time.monotonic() - self._last >= HEARTBEAT_S:
            self._say({"kind": "heartbeat"})

    @contextmanager
    def busy(self, limit_s: float) -> Iterator[None]:
        """Signs of life during a call into a library that gives us no say, for `limit_s` at most."""
        done = threading.Event()
        rounds = int(limit_s / HEARTBEAT_S)

        def beat() -> None:
            for _ in range(rounds):
                if done.wait(HEARTBEAT_S):
                    return
                self.alive()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def points(self, points: Sequence[Point], progress: Mapping[str, Any]) -> None:
        """Values of metrics, and how the run stands (RunProgress)."""
        for first in range(0, len(points), MAX_POINTS):
            batch = [_point(point) for point in points[first : first + MAX_POINTS]]
            self._say({"kind": "points", "points": batch, "progress": dict(progress)})

    def environment(self, environment: Mapping[str, Any]) -> None:
        """What it runs on. Once."""
        self._say({"kind": "environment", "environment": dict(environment)})

    def checkpoint(self, folder: str, step: int, *, best: bool) -> None:
        """`folder` below out/ is complete and on disk."""
        self._say({"kind": "checkpoint", "folder": folder, "step": step, "best": best})

    def done(self, result: Mapping[str, Any]) -> None:
        """The last line of a training that came to its end."""
        self._say({"kind": "done", "result": dict(result)})

    def failed(self, reason: str, message: str, *, retryable: bool) -> None:
        """The last line of a training that cannot."""
        self._say({"kind": "failed", "reason": reason, "message": message[:4000], "retryable": retryable})

    def stopped(self) -> None:
        """The last line after SIGTERM."""
        self._say({"kind": "stopped"})

    def relay(self, line: str) -> None:
        """A line that another process of the same training wrote."""
        self._write(line)

    def _say(self, content: Mapping[str, Any]) -> None:
        self._write(json.dumps(content, separators=(",", ":"), allow_nan=False))

    def _write(self, line: str) -> None:
        with self._lock:
            self._last = time.monotonic()
            if self._stream is not None:
                self._stream.write(line + "\n")
                self._stream.flush()


def number(value: float) -> float | str:
    """As protojson writes it: JSON itself has no NaN."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _point(point: Point) -> dict[str, Any]:
    return {
        "name": point.name,
        "value": number(point.value),
        "step": point.step,
        "epoch": point.epoch,
        "time": round(point.time, 3),
    }
