"""Which tables a backup holds: each part of the service names its own here, and nothing else has to be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
"""As PostgreSQL's to_jsonb gives it, without tenant and space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedTable:
    """Rows of a space, in the order of `key`; they come back in the order of the tables.

    `through`: the table that says to which space a row belongs, joined over the column `by`. `sealed`: columns whose
    values the service seals, with the parts of the place after the tenant: constants, or "{column}" of the row.
    """

    name: str
    key: Sequence[str]
    through: str = ""
    by: str = ""
    document: bool = False
    """It is a part of documents: its first key is `document_id`, and its rows come back with their document."""
    counted: bool = False
    """It is a part of the digest of a space."""
    skip: Sequence[str] = ()
    """Columns that the database makes by itself."""
    uncounted: Sequence[str] = ()
    """Columns that are no part of the digest."""
    number: str = ""
    """A column that counts over the whole table: later rows must have greater ones."""
    sealed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    file: str = ""
    """A column with the hash of an attachment's content."""
    new_spaces_only: bool = False
    """Left alone in a space that exists: somebody may have taken it away on purpose."""
    once_by: Sequence[str] = ()
    """Rows come back only where there is none that is equal in these columns."""


TABLES: Sequence[BackedTable] = (
    BackedTable(name="space", key=("space",), new_spaces_only=True),
    BackedTable(name="member", key=("username",), new_spaces_only=True),
    BackedTable(name="branch", key=("branch",), counted=True, uncounted=("updated_at",)),
    BackedTable(name="document", key=("document_id",), document=True, counted=True),
    BackedTable(
        name="revision", key=("document_id", "number"), through="document", by="document_id", document=True,
        counted=True, uncounted=("number",), number="number",
    ),
    BackedTable(name="head", key=("document_id", "branch"), document=True, counted=True),
    BackedTable(name="redirect", key=("document_id", "branch", "path_key"), document=True, counted=True),
    BackedTable(name="link", key=("document_id", "branch", "line", "target", "anchor", "picture"), document=True),
    BackedTable(
        name="anchor", key=("document_id", "branch"), through="document", by="document_id", document=True,
    ),
    BackedTable(name="attachment", key=("branch", "path_key"), counted=True, file="sha256"),
    BackedTable(
        name="attachment_version", key=("branch", "path_key", "number"), file="sha256", number="number",
        once_by=("branch", "path_key"),
    ),
    BackedTable(name="import_base", key=("branch", "path_key"), new_spaces_only=True),
    BackedTable(name="import_commit", key=("branch", "prefix", "root"), new_spaces_only=True),
    BackedTable(name="template", key=("template_id",), sealed={"body": ("template", "{template_id}")}),
    BackedTable(
        name="review", key=("review_id",), skip=("open_branch", "open_target"),
        sealed={"description": ("review", "{review_id}"), "closing": ("review-closing", "{review_id}")},
    ),
    BackedTable(
        name="judgement", key=("review_id", "reviewer"), through="review", by="review_id",
        sealed={"message": ("judgement", "{review_id}", "{reviewer}")},
    ),
    BackedTable(
        name="comment", key=("comment_id",),
        sealed={"quote": ("comment", "{comment_id}", "quote"), "text": ("comment", "{comment_id}", "text")},
    ),
    BackedTable(name="follow", key=("document_id", "username"), new_spaces_only=True),
)  # fmt: skip

IDS = frozenset({
    "document_id", "revision_id", "parents", "began", "template_id", "review_id", "comment_id", "thread_id",
    "anchor_revision", "at_revision",
})  # fmt: skip
"""Columns with ids that are unique in the whole database: a copy of a space has ids of its own."""
