"""Plots as PNG, each with its data as JSON beside it: {"title", "x", "y", "series": [{"name", "x", "y"}]}."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from services.model.trainer.reporter import Point

MAX_SHOWN = 2000
_COUNTS_FROM = 30
"""More classes than this: cells of the confusion matrix get no figures."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series; `dots` for points that are not joined."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False


def curves(folder: Path, history: Iterable[Point]) -> None:
    """Loss, learning rate and every other metric over epochs: loss, lr, metrics."""
    found: dict[str, list[Point]] = {}
    for point in history:
        found.setdefault(point.name, []).append(point)
    lines = {
        name: _thinned(Line(name, [p.epoch for p in points], [p.value for p in points]))
        for name, points in found.items()
    }
    losses = [line for name, line in lines.items() if name in ("train/loss", "val/loss")]
    write(folder, "loss", losses, title="Loss", x="epoch", y="loss")
    if rates := [line for name, line in lines.items() if name == "lr"]:
        write(folder, "lr", rates, title="Learning rate", x="epoch", y="learning rate")
    metrics = [line for name, line in lines.items() if name.startswith("val/") and name != "val/loss"]
    if metrics:
        write(folder, "metrics", metrics, title="Metrics", x="epoch", y="value")


def prediction(folder: Path, truth: Sequence[float], found: Sequence[float], name: str) -> None:
    """Prediction against truth, and what is left of it: prediction, residuals."""
    numbers = list(range(len(truth)))
    lines = [_thinned(Line("truth", numbers, truth)), _thinned(Line("prediction", numbers, found))]
    write(folder, "prediction", lines, title=f"Prediction and truth: {name}", x="window", y=name)
    left = [a - b for a, b in zip(found, truth, strict=True)]
    write(
        folder,
        "residuals",
        [_thinned(Line("residual", truth, left, dots=True))],
        title=f"Residuals: {name}",
        x="truth",
        y="prediction - truth",
    )


def scores(folder: Path, values: Sequence[float]) -> None:
    """Anomaly scores of the windows in order, with the bound at 1."""
    numbers = list(range(len(values)))
    lines = [_thinned(Line("score", numbers, values)), Line("bound", [0, max(len(values) - 1, 1)], [1.0, 1.0])]
    write(folder, "scores", lines, title="Anomaly score", x="window", y="score")


def confusion(folder: Path, counts: Sequence[Sequence[float]], classes: Sequence[str]) -> None:
    """Rows are truths, columns what was chosen."""
    figure, axes = _figure("Confusion matrix", "chosen", "truth")
    axes.imshow(counts, cmap="Blues")
    axes.set_xticks(range(len(classes)), classes, rotation=90 if len(classes) > 8 else 0)  # noqa: PLR2004 - they overlap
    axes.set_yticks(range(len(classes)), classes)
    if len(classes) <= _COUNTS_FROM:
        most = max(max(row) for row in counts)
        for number, row in enumerate(counts):
            for other, count in enumerate(row):
                color = "white" if count > most / 2 else "black"
                axes.text(other, number, f"{count:.0f}", ha="center", va="center", color=color)
    figure.savefig(folder / "confusion.png")
    content = {"title": "Confusion matrix", "classes": list(classes), "counts": [list(row) for row in counts]}
    _json(folder / "confusion.json", content)


def write(folder: Path, name: str, lines: Sequence[Line], *, title: str, x: str, y: str) -> None:
    """One plot of lines."""
    figure, axes = _figure(title, x, y)
    for line in lines:
        style: dict[str, Any] = {"linestyle": "", "marker": ".", "markersize": 3} if line.dots else {}
        if len(line.x) == 1:
            style = {"marker": "o"}
        axes.plot(line.x, line.y, label=line.name, **style)
    if lines:
        axes.legend()
    figure.savefig(folder / f"{name}.png")
    series = [{"name": line.name, "x": list(line.x), "y": [_value(value) for value in line.y]} for line in lines]
    _json(folder / f"{name}.json", {"title": title, "x": x, "y": y, "series": series})


def _figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 4.5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _thinned(line: Line) -> Line:
    every = -(-len(line.x) // MAX_SHOWN) or 1
    return Line(line.name, line.x[::every], line.y[::every], line.dots)


def _value(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
