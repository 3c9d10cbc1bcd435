"""A space on its way back, perhaps under another name: then what it consists of has ids of its own."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.doc.domain.backups.backup import SpacePart
from services.doc.domain.backups.tables import IDS, Row

_TIME, _RANDOM = 10, 13
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class Returning:
    """Which space, under which name, and whether one document alone."""

    part: SpacePart
    target: str
    only: str

    @property
    def copied(self) -> bool:
        """It is another space: its documents are others, too."""
        return self.target != self.part.summary.space

    def row(self, row: Row) -> Row:
        """With the ids that it has where it comes back."""
        if not self.copied:
            return row
        return {name: self._value(value) if name in IDS else value for name, value in row.items()}

    def id(self, value: str) -> str:
        """The same for the same copy, so that a restore that is repeated finds what it has brought."""
        if not self.copied:
            return value
        prefix, _, rest = value.partition("_")
        number = int.from_bytes(hashlib.sha256(f"{self.target}\0{value}".encode()).digest()[:9], "big")
        digits = "".join(_DIGITS[number >> 5 * at & 31] for at in range(_RANDOM))
        return f"{prefix}_{rest[:_TIME]}{digits}"

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(each) for each in value]
        return self.id(value) if isinstance(value, str) and value else value


class Grouped:
    """Rows in the order of their documents, taken document by document."""

    def __init__(self, rows: AsyncIterator[Row]) -> None:
        self._rows = rows
        self._next: Row | None = None

    async def of(self, document_id: str) -> Sequence[Row]:
        """Its rows. Asked in the order of the rows."""
        found: list[Row] = []
        while True:
            row = self._next or await anext(self._rows, None)
            self._next = None
            if row is None:
                return found
            if row["document_id"] > document_id:
                self._next = row
                return found
            if row["document_id"] == document_id:
                found.append(row)
