"""What can go wrong with attachments."""

from __future__ import annotations

from automesh.core.errors import AutomationError, Exhausted, NotFound, ValidationError
from services.doc.domain.errors import Stale


class AttachmentNotFound(NotFound):
    """Nothing is at that path of the branch."""

    reason = "ATTACHMENT_NOT_FOUND"


class AttachmentChanged(Stale):
    """What is at the path is not what the writer has seen."""

    reason = "ATTACHMENT_CHANGED"


class AttachmentTooLarge(ValidationError):
    """The file is larger than this installation allows."""

    reason = "ATTACHMENT_TOO_LARGE"


class AttachmentQuotaExceeded(Exhausted):
    """The tenant's attachments take all the space that they may."""

    reason = "ATTACHMENT_QUOTA_EXCEEDED"


class AttachmentDamaged(AutomationError):
    """A stored file is not what its hash says. Never retried: restore it from a backup."""

    reason = "ATTACHMENT_DAMAGED"


def attachment_not_found(path: str, space: str) -> AttachmentNotFound:
    """With what to do."""
    return AttachmentNotFound(
        f"no file is at {path!r} in the space {space!r}: list its attachments", path=path, space=space
    )


def attachment_changed(path: str, now: str) -> AttachmentChanged:
    """`now` is the SHA-256 of what is there; empty: nothing."""
    there = f"another file is at {path!r}, with the SHA-256 {now}" if now else f"nothing is at {path!r} any more"
    ask = f"expected_sha256={now}" if now else "no expected_sha256"
    return AttachmentChanged(f"{there}: look at it, then send the file again with {ask}", path=path, sha256=now)


def too_large(limit: int) -> AttachmentTooLarge:
    """With the setting that says so."""
    return AttachmentTooLarge(
        f"the file has more than {limit} bytes (doc_max_attachment_bytes): keep it elsewhere and link to it",
        field="content",
        limit=limit,
    )


def quota_exceeded(used: int, quota: int) -> AttachmentQuotaExceeded:
    """With the setting that says so."""
    return AttachmentQuotaExceeded(
        f"attachments take {used} of the {quota} bytes that they may (doc_attachment_quota): ask an operator for more",
        used=used,
        quota=quota,
    )
