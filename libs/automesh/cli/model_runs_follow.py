"""A run as it is heard: its updates through cuts of the line, and what a screen shows of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from automesh.cli.api import CUT_PAUSE_S, MAX_CUTS, Api, Json
from automesh.cli.errors import CliError
from automesh.cli.output import short
from automesh.cli.plot import Curve

ENDED = ("COMPLETED", "FAILED", "CANCELLED")
STYLES = {"train/loss": "cyan", "val/loss": "yellow"}


def run_path(run_id: str) -> str:
    """Where a run is."""
    return f"/runs/{quote(run_id, safe='')}"


def follow(api: Api, run_id: str, *, pause: Callable[[float], None] = time.sleep) -> Iterator[Json]:
    """The updates of a run until it has ended; goes on from the last point seen when the line is cut."""
    sequence, cuts = 0, 0
    while True:
        try:
            for message in api.stream(f"{run_path(run_id)}:watch", fromSequence=sequence or ""):
                update = message["update"]
                sequence, cuts = int(update.get("sequence", 0)), 0
                yield update
        except CliError as error:
            cuts += 1
            if not error.passing or cuts > MAX_CUTS:
                raise
            pause(CUT_PAUSE_S)
        else:
            return


@dataclass
class Learning:
    """What is known of a run that is watched."""

    run_id: str
    update: Json = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    dropped: int = 0
    curves: dict[str, Curve] = field(
        default_factory=lambda: {name: Curve(name, style) for name, style in STYLES.items()}
    )

    def hear(self, update: Json) -> list[Json]:
        """Takes an update in; returns its points."""
        points: list[Json] = update.get("points", [])
        self.update = update
        self.dropped += int(update.get("dropped", 0))
        for point in points:
            value = float(point.get("value", 0.0))
            self.last[point["name"]] = value
            if point["name"] in self.curves:
                self.curves[point["name"]].add(float(point.get("step", 0)), value)
        return points

    @property
    def state(self) -> str:
        """The short state."""
        return short(self.update.get("state", "QUEUED"))

    @property
    def progress(self) -> Json:
        """How far it is."""
        progress: Json = self.update.get("progress", {})
        return progress

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        if self.state == "COMPLETED":
            return 1.0
        steps = int(self.progress.get("steps", 0))
        return min(1.0, int(self.progress.get("step", 0)) / steps) if steps else 0.0
