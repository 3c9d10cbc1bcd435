"""Which backups stay, and when one is to be whole by itself again."""

from __future__ import annotations

from collections.abc import Sequence

from services.doc.domain.backups.backup import SCHEDULE, Backup
from services.doc.domain.backups.ports import BackupStore


def surplus(backups: Sequence[Backup], keep: int) -> Sequence[str]:
    """Of those that came by themselves (the newest first), what is more than `keep` and nothing else builds on."""
    old = [each for each in backups if each.created_by == SCHEDULE][keep:]
    left = {each.backup_id: each for each in backups}
    gone: list[str] = []
    for backup in old:  # the newer ones first: what builds on the older ones
        if not any(backup.backup_id in other.bases for other in left.values()):
            gone.append(backup.backup_id)
            del left[backup.backup_id]
    return gone


def wants_full(backups: Sequence[Backup], keep: int) -> bool:
    """So that old ones can go: a chain of backups (the newest first) is no longer than `keep`."""
    by_id = {each.backup_id: each for each in backups}
    length, at = 0, backups[0].backup_id if backups else ""
    while at in by_id and length < keep:
        length, at = length + 1, by_id[at].base
    return length >= keep


async def prune(store: BackupStore, tenant_id: str, keep: int) -> None:
    """Removes what is surplus."""
    for backup_id in surplus(await store.list(tenant_id), keep):
        await store.clear(tenant_id, backup_id)
