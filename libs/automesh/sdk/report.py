"""What is still to be said about one lease: its latest progress, its log lines, its end. Bounded; never waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from automesh.orchestrator.v1 import work_service_pb2 as pb
from automesh.sdk import frames

REPORT_INTERVAL_S = 0.2  # at most five progress frames a second for a task
MAX_WAITING_LINES = 2000
_NEVER = float("inf")


class Report:
    """Progress: the latest wins. Log: when too much waits, the oldest goes. End: said again until acknowledged."""

    def __init__(self, token: bytes, *, clock: Callable[[], float], wake: Callable[[], None], repeat_s: float) -> None:
        self._token = token
        self._clock = clock
        self._wake = wake
        self._repeat_s = repeat_s
        self._progress: pb.Progress | None = None
        self._progress_due = False
        self._lines: deque[str] = deque(maxlen=MAX_WAITING_LINES)
        self._lost_lines = 0
        self._not_before = 0.0  # of the next progress or log frame
        self._end: pb.WorkRequest | None = None
        self._end_not_before = 0.0
        self.times_ended = 0  # how often the end was sent

    @property
    def ended(self) -> bool:
        """Whether the end is known; from then on nothing else is taken."""
        return self._end is not None

    def progress(self, fraction: float, message: str) -> None:
        """How far the task is. Replaces what was not sent yet."""
        now = frames.fraction(fraction), frames.text(message, frames.MAX_PROGRESS_MESSAGE)
        if self._progress is not None and now == (self._progress.fraction, self._progress.message):
            return
        said = self._latest()
        said.fraction, said.message = now
        self._progress_changed()

    def checkpoint(self, data: bytes) -> None:
        """What the next attempt shall be given if this one dies."""
        self._latest().checkpoint = data
        self._progress_changed()

    def log(self, piece: str) -> None:
        """Lines the task wrote. When too many wait, the oldest are dropped and counted."""
        if self.ended:
            return
        for line in frames.lines_of(piece):
            self._lost_lines += len(self._lines) == MAX_WAITING_LINES
            self._lines.append(line)
        self._wake()

    def end(self, frame: pb.WorkRequest, *, not_before: float = 0.0) -> None:
        """The attempt is over; `frame` is its Done, to be sent no earlier than the moment `not_before`."""
        self._end = frame
        self._end_not_before = not_before
        self._wake()

    def forget(self) -> None:
        """Drops progress and lines that were not sent yet, and does not repeat what was."""
        self._progress, self._progress_due = None, False
        self._lines.clear()

    def say_again(self) -> None:
        """A new stream is open: what may have been lost with the old one is due once more."""
        self._progress_due = self._progress is not None
        if self.times_ended:
            self._end_not_before = 0.0
        self._wake()

    def due(self) -> float:
        """The moment of the clock at which there is something to send; infinity when there is nothing."""
        if self._end is not None:
            return self._end_not_before
        return self._not_before if self._progress_due or self._lines else _NEVER

    def take(self) -> list[pb.WorkRequest]:
        """The frames that are due now, in the order they must be sent in."""
        now = self._clock()
        if self.due() > now:
            return []
        self._not_before = now + REPORT_INTERVAL_S
        taken = [*self._take_lines(), *self._take_progress()]
        if self._end is not None:
            self._end_not_before = now + self._repeat_s
            self.times_ended += 1
            taken.append(self._end)
        return taken

    def _take_lines(self) -> Iterator[pb.WorkRequest]:
        if not self._lines:
            return
        lines = list(self._lines)
        if self._lost_lines:
            lines.insert(
                0, f"({self._lost_lines} earlier lines were dropped: they came faster than they could be sent)"
            )
        self._lines.clear()
        self._lost_lines = 0
        yield from frames.log_frames(self._token, lines)

    def _take_progress(self) -> Iterator[pb.WorkRequest]:
        if self._progress is not None and self._progress_due:
            self._progress_due = False
            frame = pb.WorkRequest()
            frame.progress.CopyFrom(self._progress)
            yield frame

    def _latest(self) -> pb.Progress:
        if self._progress is None:
            self._progress = pb.Progress(lease_token=self._token)
        return self._progress

    def _progress_changed(self) -> None:
        if not self.ended:
            self._progress_due = True
            self._wake()
