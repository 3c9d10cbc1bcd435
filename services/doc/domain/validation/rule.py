"""What a rule is, and how it says what it has found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.doc.domain.spaces.space import Level
from services.doc.domain.validation.page import Page

Look = Callable[[Page], Iterator["Hit"]]


@dataclass(frozen=True, slots=True)
class Hit:
    """A place that breaks a rule, and how to mend it. Line and column count from 1; 0 is all of them."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`level` is for a space that says nothing. `look` is None for a rule that needs more than the page itself."""

    name: str
    description: str
    level: Level
    look: Look | None = None
