"""What all fake stores share: the rows in memory. `clock` may be moved."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from automesh.core.clock import utc_now
from services.data.domain.dataset import Dataset, DatasetEdit, DatasetQuery, NewDataset
from services.data.domain.errors import (
    ClaimRefused,
    RequestReused,
    claim_stale,
    dataset_in_use,
    dataset_not_found,
    quota_exceeded,
    upload_not_found,
    version_not_found,
)
from services.data.domain.lineage import Node
from services.data.domain.order import DATASET, UPLOAD
from services.data.domain.upload import Upload
from services.data.domain.version import Draft, State, StoredFile, Version

Key = tuple[str, int]


@dataclass
class _Row:
    """A version and what only the store knows of it."""

    version: Version
    heard_at: datetime
    claim: int = 0
    digest: bytes = b""
    attempt: int = 0
    files: dict[str, StoredFile] = field(default_factory=dict)
    models: set[tuple[str, int]] = field(default_factory=set)


class FakeRows:
    """Datasets, versions, uploads and the ledger; the fakes of the ports work on it."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self.clock = clock
        self.datasets: dict[str, Dataset] = {}
        self.rows: dict[Key, _Row] = {}
        self.requests: dict[tuple[str, str], tuple[Key, bytes, datetime]] = {}
        self.uploads: dict[str, Upload] = {}
        self.ledger: dict[str, datetime] = {}

    # ------------------------------------------------------------------ datasets
    def dataset(self, tenant_id: str, data_id: str) -> Dataset:
        """Raises DatasetNotFound."""
        found = self.datasets.get(data_id)
        if found is None or found.tenant_id != tenant_id:
            raise dataset_not_found(data_id)
        return found

    def page(self, tenant_id: str, query: DatasetQuery) -> Sequence[Dataset]:
        """The latest change first."""
        found = [
            each
            for each in self.datasets.values()
            if each.tenant_id == tenant_id
            and query.name_contains.lower() in each.name.lower()
            and (query.label is None or each.labels.get(query.label[0]) == query.label[1])
            and (query.before is None or (each.updated_at, each.data_id) < query.before)
        ]
        return sorted(found, key=lambda each: (each.updated_at, each.data_id), reverse=True)[: query.limit]

    def edit_dataset(self, tenant_id: str, data_id: str, edit: DatasetEdit) -> Dataset:
        """Replaces what the edit says."""
        found = self.dataset(tenant_id, data_id)
        name = edit.name or found.name
        changed = replace(found, name=name, description=edit.description, labels=dict(edit.labels))
        return self._touched(changed)

    def delete_dataset(self, tenant_id: str, data_id: str, *, force: bool) -> Sequence[str]:
        """With all versions."""
        self.dataset(tenant_id, data_id)
        dependents = self._dependents(data_id)
        if dependents and not force:
            raise dataset_in_use(data_id, dependents)
        own = {key: row for key, row in self.rows.items() if key[0] == data_id}
        for key, row in own.items():
            self._discard(file.blob for file in row.files.values())
            del self.rows[key]
            self.forget_requests_of(key)
        del self.datasets[data_id]
        live = [row.version for row in own.values() if not row.version.finished]
        return [version.task_id for version in live if version.task_id]

    # ------------------------------------------------------------------ versions
    def add(self, draft: Draft, new: NewDataset | None) -> tuple[Version, bool]:
        """Stores a draft, or finds it again."""
        known = self._known(draft)
        if known is not None:
            return known, False
        origin = draft.recipe.origin
        if origin.kind == DATASET:
            self._source(draft.tenant_id, origin.id, origin.version)
        if new is not None:
            self.datasets[draft.data_id] = self._new_dataset(draft, new)
        dataset = self.dataset(draft.tenant_id, draft.data_id)
        number = dataset.last_version + 1
        self._touched(replace(dataset, last_version=number))
        version = Version(
            tenant_id=draft.tenant_id,
            data_id=draft.data_id,
            version=number,
            state=State.PROCESSING,
            recipe=draft.recipe,
            task_id=draft.task_id,
            upload_id=origin.id if origin.kind == UPLOAD else "",
            created_by=draft.created_by,
            created_at=self.clock(),
        )
        self.rows[draft.data_id, number] = _Row(version, self.clock())
        if draft.request_id:
            key = (draft.tenant_id, draft.request_id)
            self.requests[key] = ((draft.data_id, number), draft.fingerprint, self.clock())
        return version, True

    def row(self, tenant_id: str, data_id: str, version: int) -> _Row:
        """Raises DatasetNotFound, VersionNotFound."""
        dataset = self.dataset(tenant_id, data_id)
        found = self.rows.get((data_id, version or dataset.latest_version))
        if found is None:
            raise version_not_found(data_id, version)
        return found

    def requested(self, tenant_id: str, request_id: str, fingerprint: bytes) -> Version | None:
        """Raises RequestReused."""
        found = self.requests.get((tenant_id, request_id))
        if found is None:
            return None
        if found[1] != fingerprint:
            raise RequestReused(f"request_id {request_id!r} was used for another version: use a new one")
        return self.rows[found[0]].version

    def by_task(self, tenant_id: str, task_id: str) -> Version | None:
        """At most one."""
        rows = (row.version for row in self.rows.values())
        return next((each for each in rows if each.tenant_id == tenant_id and each.task_id == task_id), None)

    def settle(self, row: _Row, **changes: object) -> Version:
        """Finishes a version."""
        row.version = replace(row.version, finished_at=self.clock(), **changes)  # type: ignore[arg-type] # fields of a version
        dataset = self.datasets[row.version.data_id]
        latest = max(dataset.latest_version, row.version.version if row.version.state is State.READY else 0)
        self._touched(replace(dataset, latest_version=latest))
        return row.version

    def drop_files(self, row: _Row, keep: Collection[str] = ()) -> None:
        """Discards the files of a version but for some."""
        gone = [name for name in row.files if name not in keep]
        self._discard(row.files.pop(name).blob for name in gone)

    # ------------------------------------------------------------------ claims
    def under(self, digest: bytes) -> _Row:
        """Raises ClaimStale."""
        found = next((row for row in self.rows.values() if row.digest and row.digest == digest), None)
        if found is None:
            raise claim_stale()
        return found

    def take(self, version: Version, task_id: str, attempt: int, digest: bytes) -> tuple[Version, int]:
        """A new claim."""
        row = self.row(version.tenant_id, version.data_id, version.version)
        if row.version.task_id not in {"", task_id}:
            raise ClaimRefused(f"version {version.version} of {version.data_id} is made by another task")
        if attempt < row.attempt:
            raise claim_stale()
        if row.version.finished:
            return row.version, 0
        self.drop_files(row)
        row.claim, row.digest, row.attempt, row.heard_at = row.claim + 1, digest, attempt, self.clock()
        row.version = replace(row.version, task_id=task_id)
        return row.version, row.claim

    # ------------------------------------------------------------------ lineage
    def walk_up(self, data_id: str, version: int, limit: int) -> Sequence[Node]:
        """A chain."""
        nodes: list[Node] = []
        at: Key | None = (data_id, version)
        while at in self.rows and len(nodes) < limit:
            origin = self.rows[at].version.recipe.origin
            nodes.append(Node(origin.kind, origin.id, origin.version, len(nodes) + 1))
            at = (origin.id, origin.version) if origin.kind == DATASET else None
        return nodes

    def walk_down(self, data_id: str, version: int, limit: int) -> Sequence[Node]:
        """A tree."""
        nodes: list[Node] = []
        waiting: deque[tuple[Key, int]] = deque([((data_id, version), 0)])
        while waiting:
            key, distance = waiting.popleft()
            if key in self.rows:
                nodes += [Node("model", *model, distance + 1) for model in self.rows[key].models]
            for child, row in self.rows.items():
                origin = row.version.recipe.origin
                if origin.kind == DATASET and (origin.id, origin.version) == key:
                    nodes.append(Node(DATASET, *child, distance + 1))
                    waiting.append((child, distance + 1))
        return sorted(nodes, key=lambda node: (node.distance, node.kind, node.id, node.version))[:limit]

    # ------------------------------------------------------------------ uploads and blobs
    def used(self, tenant_id: str) -> int:
        """Bytes."""
        uploads = sum(each.size for each in self.uploads.values() if each.tenant_id == tenant_id)
        return uploads + sum(row.version.size for row in self.rows.values() if row.version.tenant_id == tenant_id)

    def admit(self, upload: Upload, quota: int) -> Upload:
        """Raises QuotaExceeded."""
        used = self.used(upload.tenant_id)
        if used + upload.size > quota:
            raise quota_exceeded(used, quota)
        now = self.clock()
        stored = replace(upload, created_at=now, expires_at=now + (upload.expires_at - upload.created_at))
        self.uploads[upload.upload_id] = stored
        self.ledger.pop(upload.blob, None)
        return stored

    def find_upload(self, tenant_id: str, upload_id: str) -> Upload:
        """Raises UploadNotFound."""
        found = self.uploads.get(upload_id)
        if found is None or found.tenant_id != tenant_id or self._is_over(found):
            raise upload_not_found(upload_id)
        return found

    def expire_uploads(self, limit: int) -> int:
        """Those that are over."""
        gone = [upload for upload in self.uploads.values() if self._is_over(upload)][:limit]
        for upload in gone:
            del self.uploads[upload.upload_id]
        self._discard(upload.blob for upload in gone)
        return len(gone)

    def _is_over(self, upload: Upload) -> bool:
        versions = (row.version for row in self.rows.values())
        in_use = any(each.upload_id == upload.upload_id and not each.finished for each in versions)
        return upload.expires_at <= self.clock() and not in_use

    def _discard(self, blobs: Iterable[str]) -> None:
        for blob in blobs:
            self.ledger[blob] = self.clock()

    def _known(self, draft: Draft) -> Version | None:
        if draft.request_id:
            return self.requested(draft.tenant_id, draft.request_id, draft.fingerprint)
        return self.by_task(draft.tenant_id, draft.task_id) if draft.task_id else None

    def _source(self, tenant_id: str, data_id: str, version: int) -> None:
        row = self.rows.get((data_id, version))
        if row is None or row.version.tenant_id != tenant_id or row.version.state is not State.READY:
            raise version_not_found(data_id, version)

    def _new_dataset(self, draft: Draft, new: NewDataset) -> Dataset:
        now = self.clock()
        return Dataset(
            data_id=draft.data_id,
            tenant_id=draft.tenant_id,
            name=new.name,
            description=new.description,
            labels=dict(new.labels),
            created_by=draft.created_by,
            created_at=now,
            updated_at=now,
        )

    def _touched(self, dataset: Dataset) -> Dataset:
        self.datasets[dataset.data_id] = replace(dataset, updated_at=self.clock())
        return self.datasets[dataset.data_id]

    def _dependents(self, data_id: str) -> list[str]:
        models = [
            f"model {model}/{number}"
            for key, row in self.rows.items()
            if key[0] == data_id
            for model, number in row.models
        ]
        live = (State.PROCESSING, State.READY)
        versions = (row.version for row in self.rows.values())
        others = [each for each in versions if each.data_id != data_id and each.state in live]
        made = [each for each in others if each.recipe.origin.kind == DATASET and each.recipe.origin.id == data_id]
        return models + [f"dataset {each.data_id}/{each.version}" for each in made]

    def forget_requests_of(self, key: Key) -> None:
        """Those that stood for a version that is gone."""
        self.requests = {request: kept for request, kept in self.requests.items() if kept[0] != key}
