"""The history of a branch as commits, and what of a commit's author and time a message keeps here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.doc.domain.attachments.attachment import Attachment
from services.doc.domain.documents.document import MAX_MESSAGE, Change, Revision

TOGETHER = timedelta(seconds=5)
"""Revisions by one author with one message, no further apart than this, are one commit: a merged review, an import."""
_AUTHOR, _DATE, _COMMIT = "Git-Author", "Git-Date", "Git-Commit"
_TRAILERS = re.compile(
    rf"\n\n(?:{_AUTHOR}: (?P<author>[^\n]*)\n)(?:{_DATE}: (?P<date>[^\n]*)\n)(?:{_COMMIT}: (?P<commit>[0-9a-f]*))\s*\Z"
)


@dataclass(slots=True, kw_only=True)
class HistoryCommit:
    """Documents and attachments by path, as hashes of what they are then."""

    author: str
    message: str
    time: datetime
    ids: set[str] = field(default_factory=set)
    documents: dict[str, str] = field(default_factory=dict)
    attachments: dict[str, str] = field(default_factory=dict)
    removes: list[str] = field(default_factory=list)


def with_trailers(message: str, author: str, time: datetime, commit: str) -> str:
    """The message of an imported commit, with who wrote it, when, and which it was."""
    tail = f"\n\n{_AUTHOR}: {author}\n{_DATE}: {time.isoformat()}\n{_COMMIT}: {commit}"
    return f"{message.strip()[: MAX_MESSAGE - len(tail)]}{tail}"


def without_trailers(revision: Revision) -> tuple[str, str, datetime]:
    """Message, author and time as they were before the import; as they are here for all others.

    Anybody may write such a message, but among the co-authors is only whom an import has found.
    """
    found = _TRAILERS.search(revision.message)
    try:
        then = datetime.fromisoformat(found["date"]) if found else None
    except ValueError:
        then = None
    if found is None or then is None or then.tzinfo is None or found["author"] not in revision.co_authors:
        return revision.message, revision.author, revision.created_at
    return revision.message[: found.start()], found["author"], then


def commits_of(
    line: Sequence[Revision], attachments: Sequence[Attachment], below: Callable[[str], str]
) -> Sequence[HistoryCommit]:
    """In order. `below` names paths as they are in the export; empty for one that is not in it."""
    commits: list[HistoryCommit] = []
    paths: dict[str, str] = {}
    for revision in line:
        message, author, time = without_trailers(revision)
        if not _goes_on(commits, revision, message, author, time):
            commits.append(HistoryCommit(author=author, message=message, time=time))
        _set(commits[-1], revision, paths, below(revision.path))
    if attachments:
        last = max(attachments, key=lambda each: (each.created_at, each.path))
        files = {below(each.path): each.sha256 for each in attachments}
        commits.append(
            HistoryCommit(author=last.created_by, message="attachments", time=last.created_at, attachments=files)
        )
    return [each for each in commits if each.documents or each.attachments or each.removes]


def _goes_on(commits: Sequence[HistoryCommit], revision: Revision, message: str, author: str, time: datetime) -> bool:
    last = commits[-1] if commits else None
    if last is None or (last.author, last.message) != (author, message) or revision.document_id in last.ids:
        return False
    return abs(time - last.time) <= TOGETHER


def _set(commit: HistoryCommit, revision: Revision, paths: dict[str, str], path: str) -> None:
    """What a commit removes goes before it sets anything: two documents may have changed places."""
    before = paths.get(revision.document_id, "")
    gone = revision.change is Change.DELETE or not path
    commit.ids.add(revision.document_id)
    if before and (gone or before != path):
        commit.removes.append(before)
        paths.pop(revision.document_id)
    if not gone:
        commit.documents[path] = revision.sha256
        paths[revision.document_id] = path
