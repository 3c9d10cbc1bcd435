"""A space: where documents live together, under the same rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from automesh.core.errors import ValidationError

MAX_TITLE, MAX_DESCRIPTION, MAX_MEMBERS, MAX_WORDS, MAX_APPROVALS = 200, 4096, 1000, 10_000, 20
MAX_WORD = 100
TRASH_FOR, REVIEW_AFTER, LONGEST = timedelta(days=30), timedelta(days=180), timedelta(days=36_525)
MAIN = "main"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Visibility(StrEnum):
    """Who finds a space."""

    TENANT = "TENANT"
    MEMBERS = "MEMBERS"


class MemberRole(StrEnum):
    """What a member may do; each may what the ones before may."""

    READER = "READER"
    WRITER = "WRITER"
    OWNER = "OWNER"


class Level(StrEnum):
    """What a broken rule does to a save."""

    OFF = "off"
    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Of the documents of a space."""

    required_approvals: int = 0
    front_matter_schema: Mapping[str, Any] = field(default_factory=dict)
    levels: Mapping[str, Level] = field(default_factory=dict)
    words: Sequence[str] = ()
    trash_retention: timedelta = TRASH_FOR
    review_after: timedelta = REVIEW_AFTER
    anonymous_analytics: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.required_approvals <= MAX_APPROVALS:
            raise ValidationError(
                f"required_approvals {self.required_approvals} is not between 0 and {MAX_APPROVALS}",
                field="space.rules.required_approvals",
            )
        if len(self.words) > MAX_WORDS:
            raise ValidationError(f"{len(self.words)} words are more than {MAX_WORDS}", field="space.rules.words")
        if any(not word.strip() or not word.isprintable() or len(word) > MAX_WORD for word in self.words):
            raise ValidationError(f"a word has 1 to {MAX_WORD} printable characters", field="space.rules.words")
        if not timedelta(minutes=1) <= self.trash_retention <= LONGEST:
            raise ValidationError(
                "the trash keeps documents for a minute to 100 years", field="space.rules.trash_retention"
            )
        if not timedelta() < self.review_after <= LONGEST:
            raise ValidationError(
                "review_after must be longer than nothing, and at most 100 years", field="space.rules.review_after"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSpace:
    """A space as somebody wants it; checked here, so that no invalid one exists."""

    space: str
    title: str = ""
    description: str = ""
    visibility: Visibility = Visibility.TENANT
    members: Mapping[str, MemberRole] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        check_name(self.space, field="space.space")
        if len(self.title) > MAX_TITLE or not self.title.isprintable():
            raise ValidationError(f"a title has at most {MAX_TITLE} printable characters", field="space.title")
        if len(self.description) > MAX_DESCRIPTION or "\x00" in self.description:
            raise ValidationError(
                f"a description has at most {MAX_DESCRIPTION} characters, none of them NUL", field="space.description"
            )
        if len(self.members) > MAX_MEMBERS:
            raise ValidationError(f"{len(self.members)} members are more than {MAX_MEMBERS}", field="space.members")
        if any(not user.strip() or not user.isprintable() or len(user) > MAX_TITLE for user in self.members):
            raise ValidationError("a member is the name of a user", field="space.members")


@dataclass(frozen=True, slots=True, kw_only=True)
class Space(NewSpace):
    """A space as it is kept; `edition` counts its changes."""

    tenant_id: str
    edition: int
    created_by: str
    created_at: datetime
    updated_at: datetime
    document_count: int = 0

    @property
    def name(self) -> str:
        """What people read."""
        return self.title or self.space


def is_name(space: str) -> bool:
    """Whether a space could be called so."""
    return _NAME.fullmatch(space) is not None


def check_name(space: str, *, field: str) -> None:
    """Raises ValidationError."""
    if not is_name(space):
        raise ValidationError(
            f"{space[:80]!r} is no name of a space: 1 to 63 of a-z, 0-9 and -, not at its ends", field=field
        )
