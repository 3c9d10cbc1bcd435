"""Counts and times of predictions of one loaded version, as the protocol's statistics call reports them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class Spent:
    """How often, and nanoseconds in all."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        """Once more (or `count` times)."""
        self.count += count
        self.ns += ns


@dataclass(slots=True)
class Statistics:
    """Of one version in one process, since it was loaded."""

    success: Spent = field(default_factory=Spent)
    fail: Spent = field(default_factory=Spent)
    queue: Spent = field(default_factory=Spent)
    compute: Spent = field(default_factory=Spent)
    batches: dict[int, Spent] = field(default_factory=dict)
    """By batch size (windows)."""
    windows: int = 0
    executions: int = 0
    last_at: datetime | None = None

    def executed(self, windows: int, ns: int) -> None:
        """A batch went through the model."""
        self.executions += 1
        self.windows += windows
        self.batches.setdefault(windows, Spent()).add(ns)
