"""A piece of long work: what was asked, how far it is, what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.doc.domain.spaces.access import Person

MAX_PROBLEMS = 1000
"""Problems that a job remembers, the first ones."""
MAX_PROBLEM = 500
"""Characters of a problem."""


class JobKind(StrEnum):
    """What is done."""

    IMPORT = "IMPORT"
    EXPORT = "EXPORT"
    BACKUP = "BACKUP"
    VERIFY = "VERIFY"
    RESTORE = "RESTORE"


class JobState(StrEnum):
    """How it stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of files."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    renamed: int = 0
    deleted: int = 0
    refused: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            created=self.created + other.created,
            updated=self.updated + other.updated,
            unchanged=self.unchanged + other.unchanged,
            renamed=self.renamed + other.renamed,
            deleted=self.deleted + other.deleted,
            refused=self.refused + other.refused,
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one file, and how to mend it."""

    path: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """Work as somebody asks for it. `asked` is what the work itself understands, as JSON."""

    job_id: str
    tenant_id: str
    kind: JobKind
    space: str = ""
    backup_id: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    created_by: str
    admin: bool = False
    """Whoever asked might do everything then; membership is asked again when the work begins."""

    @property
    def person(self) -> Person:
        """On whose behalf it is done."""
        return Person(tenant_id=self.tenant_id, user=self.created_by, admin=self.admin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(NewJob):
    """Work as it stands."""

    state: JobState
    done: int = 0
    total: int = 0
    step: str = ""
    failure: str = ""
    tally: Tally = field(default_factory=Tally)
    problems: Sequence[Problem] = ()
    place: Mapping[str, Any] = field(default_factory=dict)
    """Where another process goes on."""
    attempt: int = 0
    edition: int = 0
    """Counts changes."""
    created_at: datetime
    ended_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Nothing will change any more."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How far work is, as its worker tells."""

    done: int
    total: int
    step: str
    tally: Tally
    problems: Sequence[Problem]
    place: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How work ended. A failure says what to do."""

    state: JobState = JobState.DONE
    failure: str = ""
    backup_id: str = ""
    keep_for_s: float = 0.0
    """Its file can be downloaded for so long; 0: it has none."""
