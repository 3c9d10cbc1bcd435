"""What a worker says while it works: at most a few times a second, and always before it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from services.doc.domain.jobs.job import MAX_PROBLEM, MAX_PROBLEMS, Job, Problem, Sight, Tally

Tell = Callable[[Sight], Awaitable[None]]
"""Keeps a sight. Raises JobLost, JobCancelled."""


class Report:
    """Goes on from where the attempt before has come to."""

    def __init__(self, job: Job, tell: Tell, *, seconds: Callable[[], float], pause_s: float) -> None:
        self._tell, self._seconds, self._pause_s = tell, seconds, pause_s
        self.done, self.total, self.step = job.done, job.total, job.step
        self.tally, self.problems, self.place = job.tally, list(job.problems), dict(job.place)
        self._told_at = float("-inf")

    def sight(self) -> Sight:
        """How far it is now."""
        return Sight(
            done=self.done,
            total=self.total,
            step=self.step,
            tally=self.tally,
            problems=tuple(self.problems),
            place=dict(self.place),
        )

    def count(self, tally: Tally) -> None:
        """More files are done."""
        self.tally += tally

    def refuse(self, path: str, message: str) -> None:
        """A file was refused, and why."""
        self.tally = replace(self.tally, refused=self.tally.refused + 1)
        self.mention(path, message)

    def mention(self, path: str, message: str) -> None:
        """Something is worth a look."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(_printable(path)[:MAX_PROBLEM], _printable(message)[:MAX_PROBLEM]))

    async def begin(self, step: str, *, total: int | None = None, place: Mapping[str, Any] | None = None) -> None:
        """What is being done now."""
        self.step = step
        if total is not None:
            self.total = total
        if place is not None:
            self.place = dict(place)
        await self.tell(now=True)

    async def tell(self, *, now: bool = False) -> None:
        """Keeps how far it is, unless that was done a moment ago. Raises JobLost, JobCancelled."""
        if now or self._seconds() - self._told_at >= self._pause_s:
            await self._tell(self.sight())
            self._told_at = self._seconds()

    def told(self) -> None:
        """Somebody else has kept the sight, in a transaction of the work."""
        self._told_at = self._seconds()


def _printable(text: str) -> str:
    """Names out of archives may hold anything."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
