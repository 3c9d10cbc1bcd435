"""What a save asks before it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.doc.domain.documents.text import Text
from services.doc.domain.spaces.space import Level, Space


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that breaks a rule. `line` and `column` count from 1; 0 is the whole document, or the whole line."""

    rule: str
    level: Level
    line: int = 0
    column: int = 0
    message: str


class Checks(Protocol):
    """The rules of a space on one text."""

    async def findings(self, space: Space, branch: str, path: str, text: Text) -> Sequence[Finding]:
        """By line; none of level OFF."""
        ...
