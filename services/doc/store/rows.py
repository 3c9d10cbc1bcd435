"""Rows as the domain knows them."""

from __future__ import annotations

from automesh.storage.postgres import Record
from services.doc.domain.documents.document import Change, Head, Revision


def head(row: Record) -> Head:
    """Of head, revision and document together."""
    return Head(
        tenant_id=row["tenant_id"],
        space=row["space"],
        branch=row["branch"],
        document_id=row["document_id"],
        revision_id=row["revision_id"],
        path=row["path"],
        title=row["title"],
        tags=tuple(row["tags"]),
        owner=row["owner"],
        review_at=row["review_at"],
        size=row["size"],
        sha256=row["sha256"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_by=row["updated_by"],
        updated_at=row["updated_at"],
        deleted_at=row["deleted_at"],
    )


def revision(row: Record) -> Revision:
    """Of revision."""
    return Revision(
        revision_id=row["revision_id"],
        document_id=row["document_id"],
        number=row["number"],
        parents=tuple(row["parents"]),
        branch=row["branch"],
        change=Change(row["change"]),
        path=row["path"],
        title=row["title"],
        author=row["author"],
        co_authors=tuple(row["co_authors"]),
        message=row["message"],
        created_at=row["created_at"],
        size=row["size"],
        sha256=row["sha256"],
        lines_added=row["lines_added"],
        lines_removed=row["lines_removed"],
    )
