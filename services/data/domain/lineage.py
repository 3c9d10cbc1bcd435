"""What a version was made of, and what was made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_NODES = 1000


@dataclass(frozen=True, slots=True)
class Node:
    """One thing in a lineage, `distance` steps away: a dataset, an upload, a url, a generator or a model."""

    kind: str
    id: str
    version: int
    distance: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """Both directions, nearest first, at most MOST_NODES each."""

    upstream: Sequence[Node]
    downstream: Sequence[Node]
