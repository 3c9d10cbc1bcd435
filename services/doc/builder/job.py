"""What the program is told: job.json in its folder, and the texts of the pages beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

JOB, PAGES, OUT, RESULT = "job.json", "pages", "out", "result.json"
"""Names in the folder: what is to be done, the texts by number, the files made, and what the program says of them."""


@dataclass(frozen=True, slots=True)
class SourcePage:
    """A document. Its text is the file `pages/<number>`."""

    path: str
    title: str
    updated: str
    """A day, 2026-01-31."""
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SourceFile:
    """An attachment: it is published as it is, at its own path; its content is of no interest here."""

    path: str
    sha256: str
    size: int
    content_type: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A path that a document once had, and the one that it has now."""

    path: str
    to: str


@dataclass(frozen=True, slots=True)
class Job:
    """A site to be built. `url`: where it will be seen, for sitemap.xml; empty: without one."""

    title: str
    theme: str = "auto"
    accent: str = ""
    description: str = ""
    url: str = ""
    pages: Sequence[SourcePage] = ()
    files: Sequence[SourceFile] = field(default_factory=tuple)
    moved: Sequence[Moved] = field(default_factory=tuple)


def read_job(folder: Path) -> Job:
    """As `write_job` wrote it."""
    told = json.loads((folder / JOB).read_bytes())
    return Job(
        **{name: told[name] for name in ("title", "theme", "accent", "description", "url")},
        pages=[SourcePage(**each) for each in told["pages"]],
        files=[SourceFile(**each) for each in told["files"]],
        moved=[Moved(**each) for each in told["moved"]],
    )


def write_job(folder: Path, job: dict[str, Any], texts: Sequence[str]) -> None:
    """Lays down a job: the fields of Job, and the texts in the order of its pages."""
    (folder / PAGES).mkdir()
    (folder / JOB).write_text(json.dumps(job), encoding="utf-8")
    for number, text in enumerate(texts):
        (folder / PAGES / str(number)).write_text(text, encoding="utf-8", newline="")
