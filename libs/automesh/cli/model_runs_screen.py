"""Live curves of a training: progress, speed, the time that is left, and loss over steps."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from automesh.cli.api import Json
from automesh.cli.model_runs_follow import Learning
from automesh.cli.output import coloured, literal
from automesh.cli.plot import plot

WIDEST, TALLEST = 120, 20
MEASURED = ("val/", "test/")
STARTING = {"QUEUED": "waiting for an agent (automesh agents)", "RUNNING": "the trainer starts"}
"""What is said before the first step."""


def screen(learning: Learning, *, width: int, height: int) -> RenderableType:
    """Everything on one screen."""
    width = min(width, WIDEST)
    curves = list(learning.curves.values())
    room = max(6, min(TALLEST, height - 6))
    return Group(
        _head(learning),
        _bar(learning, width),
        Text(facts(learning), style="dim"),
        plot(curves, width=width, height=room),
        _legend(learning),
    )


def facts(learning: Learning) -> str:
    """Epoch, steps, speed, time left, memory of the GPU and the best value, as far as they are known."""
    progress = learning.progress
    found = [
        f"epoch {progress['epoch']}/{progress.get('epochs', '?')}" if progress.get("epoch") else "",
        f"step {progress['step']}/{progress.get('steps', '?')}" if int(progress.get("step", 0)) else "",
        f"{float(progress['samplesPerSecond']):,.0f} samples/s" if progress.get("samplesPerSecond") else "",
        f"ETA {span(progress['eta'])}" if progress.get("eta") and learning.state == "RUNNING" else "",
        f"GPU {int(progress['gpuMemory']) / 2**30:.1f} GiB" if int(progress.get("gpuMemory", 0)) else "",
        best(progress),
        f"{learning.dropped} points left out: the line is slow" if learning.dropped else "",
    ]
    return " \u00b7 ".join(filter(None, found)) or STARTING.get(learning.state, "")


def best(progress: Json) -> str:
    """The best value so far."""
    told = progress.get("best")
    return f"best {told['name']} {float(told.get('value', 0)):.6g} (epoch {told.get('epoch', 0)})" if told else ""


def span(text: str) -> str:
    """A duration such as "83.5s" for people."""
    seconds = round(float(text.rstrip("s")))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def lines(points: Sequence[Json]) -> list[str]:
    """What was measured after each epoch, a line each, for where there is no terminal."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in points:
        if each["name"].startswith(MEASURED):
            when = str(each.get("epoch", 0)), str(each.get("step", 0))
            found.setdefault(when, []).append(f"{each['name']} {float(each.get('value', 0)):.6g}")
    return [f"epoch {epoch} step {step}  {'  '.join(values)}" for (epoch, step), values in found.items()]


def _head(learning: Learning) -> Text:
    model = learning.update.get("modelId", "")
    return Text.assemble(coloured(learning.state), " ", literal(learning.run_id), " ", literal(model, "dim"))


def _bar(learning: Learning, width: int) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_row(ProgressBar(total=1.0, completed=learning.fraction, width=width - 6), f"{learning.fraction:4.0%}")
    return row


def _legend(learning: Learning) -> Text:
    text = Text()
    for curve in learning.curves.values():
        if curve.name in learning.last:
            text.append(f"\u2501 {curve.name} ", curve.style)
            text.append(f"{learning.last[curve.name]:.6g}   ")
    others = [(name, value) for name, value in sorted(learning.last.items()) if name not in learning.curves]
    text.append_text(literal("  ".join(f"{name} {value:.4g}" for name, value in others[:6]), "dim"))
    return text
