"""A branch, and where two differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from automesh.core.errors import ValidationError
from services.doc.domain.documents.document import Change
from services.doc.domain.spaces.space import MAIN

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A line of work on a whole space."""

    space: str
    branch: str
    base: str
    created_by: str
    created_at: datetime
    updated_at: datetime
    document_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """A document on two branches: the revision that it is at on either, empty where it is not there or in the trash."""

    document_id: str
    path: str
    """On the branch; on the base when it is only there."""
    base_path: str
    head: str
    base_head: str
    """What the base has, in its trash too: what a merge must expect."""
    base_deleted: bool
    branch_deleted: bool
    began: str = ""
    """The revision that it had when the branch was made; empty for one that came later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A document in which a branch differs from its base, and what the branch did since both were one."""

    sides: Sides
    ancestor: str
    change: Change
    both_changed: bool


@dataclass(frozen=True, slots=True)
class Work:
    """What was done on a branch since it was made: equal digests mean that nothing has changed, `authors` did it."""

    digest: str = ""
    authors: Sequence[str] = ()


def check_name(name: str, *, field: str = "branch") -> str:
    """The name. Raises ValidationError."""
    if not _NAME.fullmatch(name):
        raise ValidationError(
            f"{name[:120]!r} is no name of a branch: 1 to 100 letters, digits, '-', '_' and '.', the first of them a "
            "letter or digit",
            field=field,
        )
    if ".." in name or name.endswith((".", ".lock")) or (name != MAIN and name.casefold() in {MAIN, "head"}):
        raise ValidationError(f"{name!r} is no name that git could give a branch beside {MAIN!r}", field=field)
    return name
