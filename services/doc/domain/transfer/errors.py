"""What can go wrong with imports and exports."""

from __future__ import annotations

from automesh.core.errors import Kind, NotFound, ValidationError
from services.doc.domain.errors import DocError


class ArchiveRefused(ValidationError):
    """The file cannot be read, or would unpack to more than is allowed."""

    reason = "ARCHIVE_REFUSED"


class ArchiveTooLarge(ValidationError):
    """The file is larger than this installation allows."""

    reason = "ARCHIVE_TOO_LARGE"


class ExportNotReady(DocError):
    """The job has not ended, or ended without a file."""

    reason = "EXPORT_NOT_READY"


class ExportExpired(NotFound):
    """The file of the export is gone: export again."""

    reason = "EXPORT_EXPIRED"


class NothingToExport(DocError):
    """There is no document below that folder."""

    reason = "NOTHING_TO_EXPORT"


class TooMuchToExport(DocError):
    """Export a folder at a time."""

    reason = "TOO_MUCH_TO_EXPORT"


class DocumentationLeaseLost(DocError):
    """The task is not the agent's any more."""

    kind = Kind.ABORTED
    reason = "LEASE_LOST"


def archive_too_large(limit: int) -> ArchiveTooLarge:
    """With the setting that says so."""
    return ArchiveTooLarge(
        f"the archive has more than {limit} bytes (doc_max_import_bytes): import it in parts, with `root` or `prefix`",
        field="content",
        limit=limit,
    )
