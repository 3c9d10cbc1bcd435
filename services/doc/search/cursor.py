"""How far this replica's indexes have come, in a small file beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from services.doc.search.folder import write_json
from services.doc.search.schema import VERSION


@dataclass(slots=True)
class Cursor:
    """`tenants`: the change that the index of each has come to; None: it is to be built anew."""

    file: Path
    sequence: int | None = None
    tenants: dict[str, int | None] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Cursor:
        """One that cannot be read is as good as none."""
        try:
            saved = json.loads(file.read_bytes())
            if saved["version"] != VERSION:
                return cls(file)
            tenants = {str(name): None if at is None else int(at) for name, at in saved["tenants"].items()}
            return cls(file, int(saved["sequence"]), tenants)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(file)

    def save(self) -> None:
        """All of it or nothing. Blocks."""
        write_json(self.file, {"version": VERSION, "sequence": self.sequence, "tenants": self.tenants})
