"""A draft: what one person is writing and has not saved yet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from automesh.core.errors import ValidationError
from services.doc.domain.documents.path import MAX_PATH
from services.doc.domain.spaces.space import MAIN

MAX_ID = 200
_DRAFT_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDraft:
    """A draft as its writer has it. `version` is the one that was read; 0: it is new."""

    draft_id: str
    space: str
    branch: str = MAIN
    path: str = ""
    content: str
    base: str = ""
    """The head it was begun on; empty: a new document."""
    version: int = 0

    def __post_init__(self) -> None:
        check_id(self.draft_id)
        for field, value, most in (
            ("path", self.path, MAX_PATH),
            ("branch", self.branch, MAX_ID),
            ("base", self.base, MAX_ID),
        ):
            if len(value) > most or "\x00" in value:
                raise ValidationError(f"{field} has at most {most} characters, none of them NUL", field=field)
        if self.version < 0:
            raise ValidationError("version is the one that was read, or 0 for a new draft", field="version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(NewDraft):
    """A draft as it is kept. `behind`: the document has moved on since `base`."""

    updated_at: datetime
    behind: bool


def check_id(draft_id: str) -> str:
    """The id. Raises ValidationError."""
    if not _DRAFT_ID.fullmatch(draft_id):
        raise ValidationError(
            f"{draft_id[:120]!r} is no id of a draft: the document's id, or 1 to 100 of a-z, A-Z, 0-9, '-' and '_'",
            field="draft_id",
        )
    return draft_id
