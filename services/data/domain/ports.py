"""What the domain needs from outside. Every method may raise Unavailable while what stands behind it is away.

Times inside a store come from its own clock (for SQL that of the database), so that replicas cannot disagree.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from services.data.domain.dataset import Dataset, DatasetEdit, DatasetQuery, NewDataset
from services.data.domain.lineage import Node
from services.data.domain.upload import Upload
from services.data.domain.version import Draft, Failure, Manifest, StoredFile, Version


class DatasetStore(Protocol):
    """Datasets, as people see them. Anything of another tenant raises DatasetNotFound."""

    async def get(self, tenant_id: str, data_id: str) -> Dataset:
        """The dataset."""
        ...

    async def list(self, tenant_id: str, query: DatasetQuery) -> Sequence[Dataset]:
        """A page, the latest change first."""
        ...

    async def edit(self, tenant_id: str, data_id: str, edit: DatasetEdit) -> Dataset:
        """Replaces name, description and labels."""
        ...

    async def delete(self, tenant_id: str, data_id: str, *, force: bool) -> Sequence[str]:
        """Deletes it with all versions; returns the tasks that still work on some. Raises DatasetInUse."""
        ...


class VersionStore(Protocol):
    """Versions, as people see them. Anything of another tenant raises DatasetNotFound or VersionNotFound."""

    async def draft(self, draft: Draft, new: NewDataset | None) -> tuple[Version, bool]:
        """Stores a version to be made, of a new dataset or of the one that is there.

        False when its request_id or task_id stood for the same before: that one is returned. Raises RequestReused,
        VersionNotFound when it is made of one that is gone meanwhile.
        """
        ...

    async def bind(self, version: Version, task_id: str) -> None:
        """Remembers the task that makes it."""
        ...

    async def withdraw(self, version: Version) -> None:
        """Forgets a version that has no task, with its dataset where it was the only one."""
        ...

    async def get(self, tenant_id: str, data_id: str, version: int) -> Version:
        """One version; 0 is the latest that is READY."""
        ...

    async def of_request(self, tenant_id: str, request_id: str, fingerprint: bytes) -> Version | None:
        """The version that a request_id stands for. Raises RequestReused when the order was another one."""
        ...

    async def of_task(self, tenant_id: str, task_id: str) -> Version | None:
        """The version that a task makes."""
        ...

    async def list(self, tenant_id: str, data_id: str, *, limit: int, before: int | None) -> Sequence[Version]:
        """A page, the newest first."""
        ...

    async def files(self, tenant_id: str, data_id: str, version: int) -> Mapping[str, StoredFile]:
        """The files of a version by name."""
        ...

    async def fail(self, version: Version, failure: Failure) -> bool:
        """Gives up a version that is still PROCESSING; False when it is not any more."""
        ...

    async def quiet(self, quiet_for: timedelta, limit: int) -> Sequence[Version]:
        """Versions of all tenants that are PROCESSING and not heard of for so long; counts as hearing of them."""
        ...

    async def forget_requests(self, older_than: timedelta) -> int:
        """Forgets old request ids; returns how many."""
        ...


class LineageStore(Protocol):
    """What was made of what."""

    async def upstream(self, tenant_id: str, data_id: str, version: int, limit: int) -> Sequence[Node]:
        """What the version was made of, nearest first."""
        ...

    async def downstream(self, tenant_id: str, data_id: str, version: int, limit: int) -> Sequence[Node]:
        """What was made of the version, nearest first."""
        ...

    async def add_dependent(self, tenant_id: str, data_id: str, version: int, model: tuple[str, int]) -> None:
        """A model (id, version) depends on a version. Safe to repeat. Raises VersionNotFound."""
        ...

    async def remove_dependent(self, tenant_id: str, model_id: str, model_version: int) -> None:
        """A model is gone; version 0 means all of its versions."""
        ...


class ClaimStore(Protocol):
    """Versions, as those see them who make them: each call is fenced by the digest of the claim's token."""

    async def claim(self, version: Version, *, task_id: str, attempt: int, digest: bytes) -> tuple[Version, int]:
        """Makes earlier claims stale and discards what they wrote; returns the number of the claim.

        A finished version is returned as it is, with 0. Raises ClaimRefused for another task's, ClaimStale for an
        attempt before the current one.
        """
        ...

    async def held(self, digest: bytes) -> Version:
        """The version under a claim. Raises ClaimStale."""
        ...

    async def set_upload(self, version: Version, upload_id: str) -> None:
        """Remembers the file that was fetched for it."""
        ...

    async def add_file(self, digest: bytes, file: StoredFile) -> None:
        """Stores or replaces a file of the claim. Raises ClaimStale."""
        ...

    async def finish(self, digest: bytes, outcome: Manifest | Failure) -> Version:
        """Registers all of it in one transaction; a version finished under this claim is returned as it is.

        Files that the manifest does not name are discarded. Raises ClaimStale, ValidationError for files that were
        never written.
        """
        ...


class UploadStore(Protocol):
    """What is known of uploaded files. Anything of another tenant raises UploadNotFound."""

    async def used(self, tenant_id: str) -> int:
        """Bytes that the tenant's uploads and versions take."""
        ...

    async def put(self, upload: Upload, *, quota: int) -> Upload:
        """Makes it known, expiring as long after now as it says. Raises QuotaExceeded."""
        ...

    async def get(self, tenant_id: str, upload_id: str) -> Upload:
        """One upload; an expired one is not found unless a version is being made of it."""
        ...

    async def expire(self, limit: int) -> int:
        """Forgets expired ones that nothing is being made of; returns how many."""
        ...


class BlobLedger(Protocol):
    """Blobs that are to be deleted unless they come to be of use."""

    async def reserve(self, blob: str, keep_for: timedelta) -> None:
        """Remembers a blob about to be written, so that it is swept up if it never becomes a file."""
        ...

    async def discarded(self, limit: int) -> Sequence[str]:
        """Blobs that nothing points at any more."""
        ...

    async def swept(self, blobs: Collection[str]) -> None:
        """These are gone."""
        ...


class StoredBlob(Protocol):
    """What was stored."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits."""
        ...


class Blobs(Protocol):
    """Encrypted files by name."""

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> StoredBlob:
        """Stores a whole file, or nothing when the chunks raise."""
        ...

    def get(self, name: str) -> AsyncIterator[bytes]:
        """The file in chunks."""
        ...

    async def delete(self, name: str) -> None:
        """Deletes a file; one that is not there is fine."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What the orchestrator says about a lease that is shown to it."""

    tenant_id: str
    task_id: str
    task_type: str
    attempt: int
    created_by: str
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """How a task stands: `status` is SCHEDULED, RUNNING, COMPLETED, FAILED or CANCELLED."""

    status: str
    reason: str = ""
    message: str = ""


class Tasks(Protocol):
    """The orchestrator, asked on a tenant's behalf."""

    async def submit(self, version: Version) -> str:
        """Makes the task that makes a version, once; its id."""
        ...

    async def state(self, tenant_id: str, task_id: str) -> TaskState | None:
        """How a task stands; None for one that is gone."""
        ...

    async def cancel(self, tenant_id: str, task_id: str, reason: str) -> None:
        """Stops a task; one that is over or gone is fine."""
        ...

    async def lease(self, token: bytes) -> Lease:
        """What a lease is for. Raises LEASE_LOST (ABORTED) for one that is over."""
        ...


class Urls(Protocol):
    """Files behind URLs."""

    def check(self, url: str) -> None:
        """Raises UrlRefused unless the URL may be fetched."""
        ...

    def fetch(self, url: str) -> AsyncIterator[bytes]:
        """The bytes. Raises UrlRefused, FetchFailed, Unavailable for what may pass, FileTooLarge."""
        ...


class Converter(Protocol):
    """Turns a Parquet file into another format."""

    def convert(
        self, parquet: AsyncIterable[bytes], file_format: str
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of the other file, as long as the block is open. Raises ConversionFailed, TooManyConversions."""
        ...
