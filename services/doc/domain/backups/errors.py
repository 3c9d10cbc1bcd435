"""What can go wrong with backups."""

from __future__ import annotations

from automesh.core.errors import AutomationError, NotFound
from services.doc.domain.errors import DocError


class BackupNotFound(NotFound):
    """The store has no such backup of this tenant."""

    reason = "BACKUP_NOT_FOUND"


class BackupInUse(DocError):
    """Another backup builds on it."""

    reason = "BACKUP_IN_USE"


class BackupDamaged(AutomationError):
    """What is stored is not what its hash says. Never retried."""

    reason = "BACKUP_DAMAGED"


class NotInBackup(NotFound):
    """The backup has no such space, or no such document."""

    reason = "NOT_IN_BACKUP"


def backup_not_found(backup_id: str) -> BackupNotFound:
    """With what to do."""
    return BackupNotFound(
        f"there is no backup {backup_id[:80]!r}: list the backups to find one", backupId=backup_id[:80]
    )
