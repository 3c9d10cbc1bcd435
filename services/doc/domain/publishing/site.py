"""A site, the releases that were built of it, and what was switched when."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from automesh.core.errors import ValidationError
from services.doc.domain.documents.requests import check_request_id

KEEP, MAX_KEEP, MAX_TITLE, MAX_REASON = 10, 100, 200, 1000
THEMES = ("auto", "light", "dark")
_ACCENT = re.compile(r"#[0-9a-f]{6}")
_ETAG = re.compile(r"([0-9]{1,18})(?:-[0-9a-f]{8})?")


class ReleaseState(StrEnum):
    """How a release stands."""

    BUILDING = "BUILDING"
    READY = "READY"
    CURRENT = "CURRENT"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteChoices:
    """What people decide about a site; checked here, so that nothing invalid exists."""

    title: str = ""
    theme: str = "auto"
    accent: str = ""
    auto_publish: bool = False
    keep: int = KEEP
    public: bool = False

    def __post_init__(self) -> None:
        if len(self.title) > MAX_TITLE or not self.title.isprintable():
            raise ValidationError(f"a title has at most {MAX_TITLE} printable characters", field="site.title")
        if self.theme not in THEMES:
            raise ValidationError(f"{self.theme[:40]!r} is none of {', '.join(THEMES)}", field="site.theme")
        if self.accent and not _ACCENT.fullmatch(self.accent):
            raise ValidationError(f"{self.accent[:40]!r} is no colour like #3451b2", field="site.accent")
        if not 1 <= self.keep <= MAX_KEEP:
            raise ValidationError(f"{self.keep} is not between 1 and {MAX_KEEP}", field="site.keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The site of a space. `edition` counts changes of its choices; 0: nobody has chosen anything yet."""

    tenant_id: str
    space: str
    choices: SiteChoices
    paused: str = ""
    current: str = ""
    edition: int = 0
    updated_at: datetime | None = None

    @property
    def etag(self) -> str:
        """Another one whenever anything of it is another. See `edition_of`."""
        seen = hashlib.sha256(f"{self.current} {self.paused}".encode()).hexdigest()
        return f"{self.edition}-{seen[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRelease:
    """A release that somebody, or a merge, asks for."""

    release_id: str
    tenant_id: str
    space: str
    branch: str
    preview: bool = False
    automatic: bool = False
    created_by: str
    message: str = ""
    request_id: str = ""

    def __post_init__(self) -> None:
        check_reason(self.message, field="message", required=False)
        check_request_id(self.request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A built site, or one that is being built; `step` and `fraction` (0 to 1) say how far it has come."""

    release_id: str
    tenant_id: str
    space: str
    branch: str
    preview: bool
    automatic: bool = False
    state: ReleaseState
    digest: str = ""
    pages: int = 0
    files: int = 0
    size: int = 0
    created_by: str
    message: str
    failure: str = ""
    checks: Sequence[str] = ()
    step: str = ""
    fraction: float = 0.0
    attempt: int = 0
    created_at: datetime
    published_at: datetime | None = None

    @property
    def over(self) -> bool:
        """Nothing more will become of it."""
        return self.state is not ReleaseState.BUILDING


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSwitch:
    """A change of what readers see; `release_id` is empty when the site was taken down."""

    number: int
    release_id: str
    previous: str
    actor: str
    reason: str
    rollback: bool
    switched_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFile:
    """A file of a release, without its bytes."""

    path: str
    sha256: str
    size: int
    content_type: str
    attachment: bool = False
    """Somebody's file, not one that the builder made: it is never run as a page or a script."""
    location: str = ""
    """A moved page: where it is now, from the top of the site."""
    document: str = ""
    """The path of the document that it shows."""


def edition_of(etag: str) -> int | None:
    """The choices that somebody has read: a switch meanwhile does not make them others. None: it is no etag of ours."""
    found = _ETAG.fullmatch(etag)
    return int(found[1]) if found else None


def check_reason(reason: str, *, field: str = "reason", required: bool = True) -> str:
    """The reason, trimmed. Raises ValidationError."""
    trimmed = reason.strip()
    if required and not trimmed:
        raise ValidationError("say why: readers of the history will want to know", field=field)
    if len(trimmed) > MAX_REASON or "\x00" in trimmed:
        raise ValidationError(f"a reason has at most {MAX_REASON} characters, none of them NUL", field=field)
    return trimmed
