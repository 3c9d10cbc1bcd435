"""The use cases of people around datasets: get, list, edit, delete, versions, lineage."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from automesh.core.errors import AutomationError, ValidationError
from services.data.domain.dataset import Dataset, DatasetEdit, DatasetQuery
from services.data.domain.lineage import MOST_NODES, Lineage
from services.data.domain.ports import DatasetStore, LineageStore, Tasks, VersionStore
from services.data.domain.version import Version

MAX_REASON = 1024


class DatasetCatalogue:
    """Datasets of one tenant at a time."""

    def __init__(self, datasets: DatasetStore, versions: VersionStore, lineage: LineageStore, tasks: Tasks) -> None:
        self._datasets, self._versions, self._lineage, self._tasks = datasets, versions, lineage, tasks

    async def get(self, tenant_id: str, data_id: str) -> Dataset:
        """One dataset."""
        return await self._datasets.get(tenant_id, data_id)

    async def list(self, tenant_id: str, query: DatasetQuery) -> Sequence[Dataset]:
        """A page of datasets."""
        return await self._datasets.list(tenant_id, query)

    async def edit(self, tenant_id: str, data_id: str, edit: DatasetEdit) -> Dataset:
        """Replaces name, description and labels."""
        return await self._datasets.edit(tenant_id, data_id, edit)

    async def delete(self, tenant_id: str, data_id: str, *, force: bool, reason: str) -> None:
        """Deletes a dataset with all versions, and stops the tasks that make some."""
        check_reason(reason, force=force)
        for task_id in await self._datasets.delete(tenant_id, data_id, force=force):
            with suppress(AutomationError):  # without a version its claim fails, so it ends in any case
                await self._tasks.cancel(tenant_id, task_id, f"dataset {data_id} was deleted")

    async def version(self, tenant_id: str, data_id: str, version: int) -> Version:
        """One version; 0 is the latest that is READY."""
        if version < 0:
            raise ValidationError(f"version {version} is negative", field="version")
        return await self._versions.get(tenant_id, data_id, version)

    async def versions(self, tenant_id: str, data_id: str, *, limit: int, before: int | None) -> Sequence[Version]:
        """A page of versions, the newest first."""
        await self._datasets.get(tenant_id, data_id)
        return await self._versions.list(tenant_id, data_id, limit=limit, before=before)

    async def lineage(self, tenant_id: str, data_id: str, version: int) -> Lineage:
        """Where a version comes from and what came of it."""
        found = await self.version(tenant_id, data_id, version)
        return Lineage(
            await self._lineage.upstream(tenant_id, data_id, found.version, MOST_NODES),
            await self._lineage.downstream(tenant_id, data_id, found.version, MOST_NODES),
        )


def check_reason(reason: str, *, force: bool) -> None:
    """Raises ValidationError when something is forced without a reason."""
    if force and not reason.strip():
        raise ValidationError("to force it, say why: the reason is written to the audit log", field="reason")
    if len(reason) > MAX_REASON or "\x00" in reason:
        raise ValidationError(f"reason has more than {MAX_REASON} characters, or a NUL character", field="reason")
