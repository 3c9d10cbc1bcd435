"""Heads of documents, to be indexed."""

from datetime import UTC, datetime

from services.doc.domain.documents.document import Head

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def head(path: str, *, title: str = "T", space: str = "docs", tenant_id: str = "acme") -> Head:
    return Head(
        tenant_id=tenant_id,
        space=space,
        branch="main",
        document_id=f"doc_{path}",
        revision_id="rev_1",
        path=path,
        title=title,
        owner="ann",
        size=0,
        sha256="",
        created_by="ann",
        created_at=NOW,
        updated_by="ann",
        updated_at=NOW,
    )
