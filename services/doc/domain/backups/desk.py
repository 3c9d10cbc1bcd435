"""The use cases around backups: begun here, done by jobs. The guard has asked for the permission doc.backup."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from automesh.core.errors import ValidationError
from services.doc.domain.backups.backup import Backup
from services.doc.domain.backups.errors import BackupInUse, NotInBackup
from services.doc.domain.backups.ports import BackupStore
from services.doc.domain.jobs.desk import JobDesk
from services.doc.domain.jobs.job import Job, JobKind, NewJob
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import check_name

MAX_SPACES = 10_000


class BackupDesk:
    """Backups of a tenant's spaces, of all of them: whoever may make backups sees everything in them."""

    def __init__(
        self, store: BackupStore, jobs: JobDesk, directory: SpaceDirectory, *, make_id: Callable[[str], str]
    ) -> None:
        self._store, self._jobs, self._directory, self._make_id = store, jobs, directory, make_id

    async def create(self, person: Person, spaces: Sequence[str], *, full: bool) -> Job:
        """Raises SpaceNotFound, BackupRunning."""
        if len(spaces) > MAX_SPACES:
            raise ValidationError(f"{len(spaces)} spaces are more than {MAX_SPACES}", field="spaces")
        everything = Person(tenant_id=person.tenant_id, user=person.user, admin=True)
        for space in spaces:
            await self._directory.find(everything, space)
        asked = {"spaces": list(dict.fromkeys(spaces)), "full": full}
        return await self._start(person, JobKind.BACKUP, self._make_id("backup"), asked)

    async def get(self, person: Person, backup_id: str) -> Backup:
        """Raises BackupNotFound, BackupDamaged."""
        return await self._store.get(person.tenant_id, backup_id)

    async def list(self, person: Person, *, limit: int, before: str) -> Sequence[Backup]:
        """A page, the newest first."""
        found = await self._store.list(person.tenant_id)
        return [each for each in found if not before or each.backup_id < before][:limit]

    async def verify(self, person: Person, backup_id: str) -> Job:
        """Raises BackupNotFound."""
        await self._store.get(person.tenant_id, backup_id)
        return await self._start(person, JobKind.VERIFY, backup_id, {})

    async def restore(
        self, person: Person, backup_id: str, *, space: str = "", document_id: str = "", as_space: str = ""
    ) -> Job:
        """Raises BackupNotFound, NotInBackup."""
        backup = await self._store.get(person.tenant_id, backup_id)
        if (document_id or as_space) and not space:
            raise ValidationError("say which space of the backup", field="space")
        if space and space not in {each.space for each in backup.spaces}:
            raise NotInBackup(f"the backup {backup_id} has no space {space!r}", space=space)
        if as_space:
            check_name(as_space, field="as_space")
        asked = {"space": space, "document_id": document_id, "as_space": as_space}
        return await self._start(person, JobKind.RESTORE, backup_id, asked, space=as_space or space)

    async def delete(self, person: Person, backup_id: str) -> None:
        """One that is not there is no error. Raises BackupInUse."""
        for other in await self._store.list(person.tenant_id):
            if backup_id in other.bases:
                raise BackupInUse(
                    f"the backup {other.backup_id} builds on it: delete that one first, or make a new one in full",
                    backupId=backup_id,
                )
        await self._store.clear(person.tenant_id, backup_id)

    async def _start(
        self, person: Person, kind: JobKind, backup_id: str, asked: Mapping[str, object], *, space: str = ""
    ) -> Job:
        return await self._jobs.start(
            NewJob(
                job_id=self._make_id("job"),
                tenant_id=person.tenant_id,
                kind=kind,
                space=space,
                backup_id=backup_id,
                asked=asked,
                created_by=person.user,
                admin=True,
            )
        )
