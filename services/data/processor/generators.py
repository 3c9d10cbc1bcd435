"""Rows that are made up, the same for the same seed: columns series, step, f0, f1, ... and what is to be learned.

sine         sums of three noisy waves; `target` is the mean of the features' waves, without noise, a step later
random_walk  sums of small random steps; `target` is f0 a step later
classes      waves of one of four shapes; `label` is the shape: 0 sine, 1 square, 2 sawtooth, 3 triangle
anomalies    noisy waves with spikes, shifts and flat stretches; `label` is 1 in rows that are disturbed
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from services.data.domain.source import Generator, Waves

BLOCK_ROWS = 1_000_000
"""Series are made in blocks of about so many rows, each with a stream of random numbers of its own."""
WAVES = 3
NOISE = 0.1
CLASSES = 4
DISTURBED_SERIES = 0.5
Floats = npt.NDArray[np.float32]
_Made = tuple[Floats, dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]]]


def generated(generator: Generator) -> pl.DataFrame:
    """All rows, ordered by series and step."""
    each = max(1, BLOCK_ROWS // generator.steps)
    firsts = range(0, generator.samples, each)
    streams = np.random.SeedSequence(abs(generator.seed) * 2 + (generator.seed < 0)).spawn(len(firsts))
    blocks = [
        _block(generator, first, min(each, generator.samples - first), np.random.Generator(np.random.PCG64(stream)))
        for first, stream in zip(firsts, streams, strict=True)
    ]
    return pl.concat(blocks).rechunk()


def row_bytes(generator: Generator) -> int:
    """Bytes of a row in memory."""
    return 8 + 8 + 4 * generator.features + 8


def _block(generator: Generator, first: int, samples: int, random: np.random.Generator) -> pl.DataFrame:
    features, learned = _MAKERS[generator.kind](random, samples, generator.steps, generator.features)
    series = np.repeat(np.arange(first, first + samples, dtype=np.int64), generator.steps)
    step = np.tile(np.arange(generator.steps, dtype=np.int64), samples)
    flat = features.reshape(-1, generator.features)
    columns = {f"f{number}": np.ascontiguousarray(flat[:, number]) for number in range(generator.features)}
    return pl.DataFrame({"series": series, "step": step, **columns, **{k: v.reshape(-1) for k, v in learned.items()}})


def _waves(random: np.random.Generator, samples: int, steps: int, features: int) -> Floats:
    """[samples, steps + 1, features]: waves of a series have its frequencies, and the amplitudes of their feature."""
    frequency = random.uniform(0.01, 0.1, (samples, 1, WAVES))
    phase = random.uniform(0, 2 * np.pi, (samples, 1, WAVES))
    amplitude = random.uniform(0.2, 1.0, (WAVES, features))
    time = np.arange(steps + 1).reshape(1, -1, 1)
    made: Floats = (np.sin(2 * np.pi * frequency * time + phase) @ amplitude).astype(np.float32)
    return made


def _noisy(random: np.random.Generator, clean: Floats) -> Floats:
    made: Floats = clean + random.standard_normal(clean.shape, dtype=np.float32) * np.float32(NOISE)
    return made


def _sine(random: np.random.Generator, samples: int, steps: int, features: int) -> _Made:
    clean = _waves(random, samples, steps, features)
    target = clean[:, 1:].mean(axis=2, dtype=np.float32)
    return _noisy(random, clean[:, :-1]), {"target": target}


def _random_walk(random: np.random.Generator, samples: int, steps: int, features: int) -> _Made:
    moves = random.standard_normal((samples, steps + 1, features), dtype=np.float32) * np.float32(NOISE)
    walk = np.cumsum(moves, axis=1, dtype=np.float32)
    return walk[:, :-1], {"target": np.ascontiguousarray(walk[:, 1:, 0])}


def _classes(random: np.random.Generator, samples: int, steps: int, features: int) -> _Made:
    label = random.integers(0, CLASSES, samples)
    turns = random.uniform(0.02, 0.08, (samples, 1, 1)) * np.arange(steps).reshape(1, -1, 1)
    turns = turns + random.uniform(0, 1, (samples, 1, features))
    inside = turns % 1.0
    shapes = (
        np.sin(2 * np.pi * turns),
        np.where(inside < 0.5, 1.0, -1.0),  # noqa: PLR2004  # half of a turn
        2 * inside - 1,
        4 * np.abs(inside - 0.5) - 1,
    )
    chosen = np.choose(label.reshape(-1, 1, 1), shapes).astype(np.float32)
    return _noisy(random, chosen), {"label": np.repeat(label, steps).reshape(samples, steps)}


def _anomalies(random: np.random.Generator, samples: int, steps: int, features: int) -> _Made:
    rows = _noisy(random, _waves(random, samples, steps, features)[:, :-1])
    label = np.zeros((samples, steps), np.int64)
    for sample in np.flatnonzero(random.random(samples) < DISTURBED_SERIES):
        _disturb(random, rows[sample], label[sample])
    return rows, {"label": label}


def _disturb(random: np.random.Generator, rows: Floats, label: npt.NDArray[np.int64]) -> None:
    """A spike, a shift or a flat stretch, of at most a tenth of the series."""
    steps = len(rows)
    length = int(random.integers(1, max(2, steps // 10 + 1)))
    start = int(random.integers(0, max(1, steps - length)))
    kind = int(random.integers(0, 3))
    if kind == 0:
        length = 1
        rows[start] += np.float32(random.choice((-4.0, 4.0)))
    elif kind == 1:
        rows[start : start + length] += np.float32(random.choice((-2.0, 2.0)))
    else:
        rows[start : start + length] = rows[start]
    label[start : start + length] = 1


_MAKERS: dict[Waves, Callable[[np.random.Generator, int, int, int], _Made]] = {
    Waves.SINE: _sine,
    Waves.RANDOM_WALK: _random_walk,
    Waves.CLASSES: _classes,
    Waves.ANOMALIES: _anomalies,
}
