"""The ports of the stores over rows in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from services.data.domain.dataset import Dataset, DatasetEdit, DatasetQuery, NewDataset
from services.data.domain.errors import claim_stale, version_not_found
from services.data.domain.lineage import Node
from services.data.domain.upload import Upload
from services.data.domain.version import Draft, Failure, Manifest, State, StoredFile, Version, check_written
from services.data.fakes.rows import FakeRows


class FakeDatasetStore:
    """A services.data.domain.ports.DatasetStore."""

    def __init__(self, rows: FakeRows) -> None:
        self._rows = rows

    async def get(self, tenant_id: str, data_id: str) -> Dataset:
        return self._rows.dataset(tenant_id, data_id)

    async def list(self, tenant_id: str, query: DatasetQuery) -> Sequence[Dataset]:
        return self._rows.page(tenant_id, query)

    async def edit(self, tenant_id: str, data_id: str, edit: DatasetEdit) -> Dataset:
        return self._rows.edit_dataset(tenant_id, data_id, edit)

    async def delete(self, tenant_id: str, data_id: str, *, force: bool) -> Sequence[str]:
        return self._rows.delete_dataset(tenant_id, data_id, force=force)


class FakeVersionStore:
    """A services.data.domain.ports.VersionStore."""

    def __init__(self, rows: FakeRows) -> None:
        self._rows = rows

    async def draft(self, draft: Draft, new: NewDataset | None) -> tuple[Version, bool]:
        return self._rows.add(draft, new)

    async def bind(self, version: Version, task_id: str) -> None:
        row = self._rows.rows.get((version.data_id, version.version))
        if row is not None and not row.version.task_id and not row.version.finished:
            row.version, row.heard_at = replace(row.version, task_id=task_id), self._rows.clock()

    async def withdraw(self, version: Version) -> None:
        key = (version.data_id, version.version)
        row = self._rows.rows.get(key)
        if row is not None and not row.version.task_id and not row.version.finished:
            del self._rows.rows[key]
            self._rows.forget_requests_of(key)
            if version.version == self._rows.datasets[version.data_id].last_version == 1:
                del self._rows.datasets[version.data_id]

    async def get(self, tenant_id: str, data_id: str, version: int) -> Version:
        return self._rows.row(tenant_id, data_id, version).version

    async def of_request(self, tenant_id: str, request_id: str, fingerprint: bytes) -> Version | None:
        return self._rows.requested(tenant_id, request_id, fingerprint)

    async def of_task(self, tenant_id: str, task_id: str) -> Version | None:
        return self._rows.by_task(tenant_id, task_id)

    async def list(self, tenant_id: str, data_id: str, *, limit: int, before: int | None) -> Sequence[Version]:
        found = [row.version for key, row in self._rows.rows.items() if key[0] == data_id]
        mine = [each for each in found if each.tenant_id == tenant_id and (before is None or each.version < before)]
        return sorted(mine, key=lambda each: each.version, reverse=True)[:limit]

    async def files(self, tenant_id: str, data_id: str, version: int) -> Mapping[str, StoredFile]:
        row = self._rows.rows.get((data_id, version))
        return dict(sorted(row.files.items())) if row is not None and row.version.tenant_id == tenant_id else {}

    async def fail(self, version: Version, failure: Failure) -> bool:
        row = self._rows.rows.get((version.data_id, version.version))
        if row is None or row.version.finished:
            return False
        self._rows.drop_files(row)
        self._rows.settle(row, state=State.FAILED, failure=failure)
        return True

    async def quiet(self, quiet_for: timedelta, limit: int) -> Sequence[Version]:
        now = self._rows.clock()
        waiting = [row for row in self._rows.rows.values() if not row.version.finished]
        found = [row for row in waiting if row.heard_at < now - quiet_for][:limit]
        for row in found:
            row.heard_at = now
        return [row.version for row in found]

    async def forget_requests(self, older_than: timedelta) -> int:
        since = self._rows.clock() - older_than
        old = [request for request, (_, _, made_at) in self._rows.requests.items() if made_at < since]
        for request in old:
            del self._rows.requests[request]
        return len(old)


class FakeClaimStore:
    """A services.data.domain.ports.ClaimStore."""

    def __init__(self, rows: FakeRows) -> None:
        self._rows = rows

    async def claim(self, version: Version, *, task_id: str, attempt: int, digest: bytes) -> tuple[Version, int]:
        return self._rows.take(version, task_id, attempt, digest)

    async def held(self, digest: bytes) -> Version:
        return self._rows.under(digest).version

    async def set_upload(self, version: Version, upload_id: str) -> None:
        row = self._rows.rows.get((version.data_id, version.version))
        if row is not None and not row.version.finished:
            row.version = replace(row.version, upload_id=upload_id)

    async def add_file(self, digest: bytes, file: StoredFile) -> None:
        row = self._rows.under(digest)
        if row.version.finished:
            raise claim_stale()
        self._rows.drop_files(row, keep=set(row.files) - {file.info.name})
        row.files[file.info.name] = file
        row.heard_at = self._rows.clock()
        self._rows.ledger.pop(file.blob, None)

    async def finish(self, digest: bytes, outcome: Manifest | Failure) -> Version:
        row = self._rows.under(digest)
        if row.version.finished:
            return row.version
        if isinstance(outcome, Failure):
            self._rows.drop_files(row)
            return self._rows.settle(row, state=State.FAILED, failure=outcome)
        check_written(outcome, {name: file.info for name, file in row.files.items()})
        self._rows.drop_files(row, keep={info.name for info in outcome.files})
        return self._rows.settle(
            row,
            state=outcome.state,
            rows=outcome.rows,
            size=outcome.size,
            digest=outcome.digest,
            manifest=outcome.json,
        )


class FakeLineageStore:
    """A services.data.domain.ports.LineageStore."""

    def __init__(self, rows: FakeRows) -> None:
        self._rows = rows

    async def upstream(self, tenant_id: str, data_id: str, version: int, limit: int) -> Sequence[Node]:
        return self._rows.walk_up(data_id, version, limit)

    async def downstream(self, tenant_id: str, data_id: str, version: int, limit: int) -> Sequence[Node]:
        return self._rows.walk_down(data_id, version, limit)

    async def add_dependent(self, tenant_id: str, data_id: str, version: int, model: tuple[str, int]) -> None:
        row = self._rows.rows.get((data_id, version))
        if row is None or row.version.tenant_id != tenant_id or row.version.state is not State.READY:
            raise version_not_found(data_id, version)
        row.models.add(model)

    async def remove_dependent(self, tenant_id: str, model_id: str, model_version: int) -> None:
        for row in self._rows.rows.values():
            if row.version.tenant_id == tenant_id:
                row.models -= {each for each in row.models if each[0] == model_id and model_version in (0, each[1])}


class FakeUploadStore:
    """A services.data.domain.ports.UploadStore."""

    def __init__(self, rows: FakeRows) -> None:
        self._rows = rows

    async def used(self, tenant_id: str) -> int:
        return self._rows.used(tenant_id)

    async def put(self, upload: Upload, *, quota: int) -> Upload:
        return self._rows.admit(upload, quota)

    async def get(self, tenant_id: str, upload_id: str) -> Upload:
        return self._rows.find_upload(tenant_id, upload_id)

    async def expire(self, limit: int) -> int:
        return self._rows.expire_uploads(limit)


class FakeBlobLedger:
    """A services.data.domain.ports.BlobLedger."""

    def __init__(self, rows: FakeRows) -> None:
        self._rows = rows

    async def reserve(self, blob: str, keep_for: timedelta) -> None:
        self._rows.ledger[blob] = self._rows.clock() + keep_for

    async def discarded(self, limit: int) -> Sequence[str]:
        now = self._rows.clock()
        return [blob for blob, due_at in self._rows.ledger.items() if due_at <= now][:limit]

    async def swept(self, blobs: Collection[str]) -> None:
        for blob in blobs:
            self._rows.ledger.pop(blob, None)
