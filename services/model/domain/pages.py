"""Pages of lists: one thing more than asked for is read, which tells whether there are more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def cut(found: Sequence[T], limit: int) -> tuple[Sequence[T], T | None]:
    """The page, and its last thing if more follow."""
    page = found[:limit]
    return page, page[-1] if len(found) > limit else None
