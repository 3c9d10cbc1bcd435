"""The side of those who make versions: claim under a lease, read, write, finish. Each claim makes the former stale."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

from automesh.core.errors import AutomationError, Kind, PermissionDenied, ValidationError
from services.data.domain.errors import InputNotFound, claim_stale, file_too_large
from services.data.domain.fetching import UrlFetcher
from services.data.domain.job import Input, Job, JobWriter
from services.data.domain.maker import VersionMaker
from services.data.domain.order import URL
from services.data.domain.ports import BlobLedger, Blobs, ClaimStore, Tasks, VersionStore
from services.data.domain.streams import bounded, once, sliced
from services.data.domain.version import Failure, FileInfo, Manifest, StoredFile, Version

RESERVED_FOR = timedelta(days=1)
TOKEN_BYTES = 32
MAX_FILE_NAME = 512
_HOPELESS = frozenset({Kind.INVALID, Kind.NOT_FOUND, Kind.PRECONDITION})


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim: its token and job; neither when the version is finished already."""

    version: Version
    token: bytes = b""
    job: Job | None = None


class ClaimDesk:
    """Lets the holder of a lease make the version that its task is for. An empty tenant is an agent of the platform."""

    def __init__(
        self,
        tasks: Tasks,
        maker: VersionMaker,
        *,
        versions: VersionStore,
        claims: ClaimStore,
        fetcher: UrlFetcher,
        jobs: JobWriter,
        ledger: BlobLedger,
        blobs: Blobs,
        make_id: Callable[[str], str],
        make_token: Callable[[int], bytes] = secrets.token_bytes,
        max_file_bytes: int,
    ) -> None:
        self._tasks, self._maker, self._versions = tasks, maker, versions
        self._claims, self._fetcher, self._jobs = claims, fetcher, jobs
        self._ledger, self._blobs = ledger, blobs
        self._make_id, self._make_token = make_id, make_token
        self._max_file_bytes = max_file_bytes

    async def claim(self, lease_token: bytes, *, tenant_id: str) -> Claimed:
        """Begins the work of a leased task. What can never be made is recorded as FAILED before it raises."""
        lease = await self._tasks.lease(lease_token)
        _check_tenant(tenant_id, lease.tenant_id)
        version = await self._maker.of_lease(lease)
        if version.finished:
            return Claimed(version)
        job = await self._prepared(version)
        token = self._make_token(TOKEN_BYTES)
        version, number = await self._claims.claim(
            version, task_id=lease.task_id, attempt=lease.attempt, digest=digest_of(token)
        )
        return Claimed(version, token, job) if number else Claimed(version)

    async def read_input(self, token: bytes, name: str, *, tenant_id: str) -> AsyncIterator[bytes]:
        """A file of the job, in chunks."""
        version = await self._held(token, tenant_id)
        job = await self._jobs.job(version)
        found = next((each for each in job.inputs if each.info.name == name), None)
        if found is None:
            raise InputNotFound(f"the job has no input {name[:80]!r}", name=name[:80])
        return sliced(_content(self._blobs, found))

    async def write_output(self, token: bytes, name: str, chunks: AsyncIterator[bytes], *, tenant_id: str) -> FileInfo:
        """Stores a file of the claim. The claim is checked before the first byte and when the file becomes visible."""
        check_path(name)
        version = await self._held(token, tenant_id)
        if version.finished:
            raise claim_stale()
        blob = f"versions/{version.data_id}/{version.version}/{self._make_id('blob')}"
        await self._ledger.reserve(blob, RESERVED_FOR)
        too_large = file_too_large(self._max_file_bytes, setting="AUTOMESH_DATA_MAX_FILE_BYTES", field="chunk")
        stored = await self._blobs.put(blob, bounded(chunks, self._max_file_bytes, too_large))
        info = FileInfo(name, stored.size, stored.sha256)
        await self._claims.add_file(digest_of(token), StoredFile(info, blob))
        return info

    async def finish(self, token: bytes, outcome: Manifest | Failure, *, tenant_id: str) -> Version:
        """Registers the version, puts it aside, or records why it failed: all at once."""
        await self._held(token, tenant_id)
        return await self._claims.finish(digest_of(token), outcome)

    async def _prepared(self, version: Version) -> Job:
        try:
            if version.recipe.origin.kind == URL:
                upload = await self._fetcher.fetched(version)
                version = await self._versions.get(version.tenant_id, version.data_id, version.version)
                if version.upload_id != upload.upload_id and not version.upload_id:
                    raise claim_stale()  # deleted meanwhile, or finished
            return await self._jobs.job(version)
        except AutomationError as error:
            if error.kind in _HOPELESS:
                await self._versions.fail(version, Failure(error.reason, error.message))
            raise

    async def _held(self, token: bytes, tenant_id: str) -> Version:
        if len(token) != TOKEN_BYTES:
            raise claim_stale()
        version = await self._claims.held(digest_of(token))
        _check_tenant(tenant_id, version.tenant_id)
        return version


def digest_of(token: bytes) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token).digest()


def check_path(name: str) -> None:
    """Raises ValidationError unless `name` is a plain relative path."""
    if not name or len(name) > MAX_FILE_NAME or "\\" in name or not name.isprintable():
        raise ValidationError(f"a file's name has 1 to {MAX_FILE_NAME} printable characters and no '\\'", field="name")
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise ValidationError(f"{name[:80]!r} is not a relative path: no '.', '..' or empty folders", field="name")


def _content(blobs: Blobs, file: Input) -> AsyncIterator[bytes]:
    return blobs.get(file.blob) if file.blob else once(file.content)


def _check_tenant(tenant_id: str, owner: str) -> None:
    if tenant_id not in {"", owner}:
        raise PermissionDenied("the lease belongs to a task of another tenant")
