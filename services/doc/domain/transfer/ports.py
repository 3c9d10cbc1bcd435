"""What imports and exports need from outside. Every method may raise Unavailable while that is away."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from services.doc.domain.documents.document import Head, Revision, Write
from services.doc.domain.documents.text import Text
from services.doc.domain.jobs.job import Job, Sight
from services.doc.domain.transfer.arrival import Arrival, Step
from services.doc.domain.transfer.deciding import Place
from services.doc.domain.transfer.errors import DocumentationLeaseLost


@dataclass(frozen=True, slots=True)
class Lease:
    """A task that an agent works on."""

    tenant_id: str
    task_id: str
    task_type: str
    attempt: int
    created_by: str
    input: Mapping[str, Any]


class Tasks(Protocol):
    """The orchestrator."""

    async def lease(self, token: bytes) -> Lease:
        """The task of a lease. Raises what the orchestrator says: ABORTED when the lease is lost."""
        ...


class NoTasks:
    """A Tasks where there is no orchestrator."""

    async def lease(self, token: bytes) -> Lease:
        raise DocumentationLeaseLost("there is no orchestrator that knows this lease")


class Source(Protocol):
    """An archive or a git bundle that was opened: looked through once, and found to be whole and of bearable size."""

    @property
    def total(self) -> int:
        """Files, or commits."""
        ...

    @property
    def bases(self) -> Mapping[str, str]:
        """By path, the SHA-256 of what each file was made from, as an export says."""
        ...

    def steps(self, after: str) -> AsyncIterator[Step]:
        """From the first on, or from after that commit where the source has it."""
        ...

    async def contents(self, arrivals: Sequence[Arrival]) -> Sequence[bytes]:
        """The bytes of some files, in the order of the source, which is that of the arrivals of a step."""
        ...


class Sources(Protocol):
    """Opens what was uploaded."""

    def open(self, blob: str, root: str) -> AbstractAsyncContextManager[Source]:
        """Raises ArchiveRefused. Only what lies below `root` ("" or "a/b/") is there, named from there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Writes that come in one transaction, with what the next import must know of them, and how far the job is."""

    writes: Sequence[tuple[Write, Text]]
    bases: Mapping[str, str]
    """By path; empty to forget."""
    kept: Sequence[str] = ()
    """Texts that no revision has, and that later merges start from."""
    commit: str = ""


class ImportStore(Protocol):
    """What imports remember, and how they write: exactly once, whatever dies."""

    async def standing(self, tenant_id: str, space: str, branch: str, prefix: str) -> Sequence[Place]:
        """Every document below a folder, those in the trash last."""
        ...

    async def bases(self, tenant_id: str, space: str, branch: str, prefix: str) -> Mapping[str, str]:
        """By key of the path, what the last import brought."""
        ...

    async def written(self, tenant_id: str, contents: Collection[tuple[str, str]]) -> Collection[tuple[str, str]]:
        """Those of the pairs of document and SHA-256 where a revision of the document has that content."""
        ...

    async def last_commit(self, tenant_id: str, space: str, branch: str, prefix: str, root: str) -> str:
        """The last that was imported there; empty when there is none."""
        ...

    async def known(self, tenant_id: str, hashes: Collection[str]) -> Collection[str]:
        """Those of the contents that are here."""
        ...

    async def commit(
        self, job: Job, branch: str, place: tuple[str, str], commit: Commit, sight: Sight
    ) -> Sequence[Head]:
        """One transaction, and the job's lease is its fence. `place` are prefix and root.

        Raises what DocumentStore.write_all raises, JobLost, JobCancelled.
        """
        ...


class HistoryStore(Protocol):
    """What an export of a history reads."""

    async def heads(self, tenant_id: str, space: str, branch: str, prefix: str, limit: int) -> Sequence[Head]:
        """Of one moment, by path; those in the trash too."""
        ...

    async def line(self, tenant_id: str, head_ids: Sequence[str]) -> Sequence[Revision]:
        """The revisions, and all that they came from by first parents, by rising number."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedFile:
    """A file that goes out. `content` is read when its turn comes."""

    path: str
    modified_at: datetime
    content: bytes | AsyncIterable[bytes]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedCommit:
    """A commit that goes out: what it sets and what it takes away."""

    author: str
    message: str
    time: datetime
    sets: Mapping[str, bytes] = field(default_factory=dict)
    removes: Sequence[str] = ()


class Packer(Protocol):
    """Makes archives."""

    def archive(self, format: str, files: AsyncIterator[PackedFile]) -> AsyncIterator[bytes]:
        """ZIP or TAR_GZ, in chunks."""
        ...

    def bundle(self, commits: AsyncIterator[PackedCommit], branch: str) -> AsyncIterator[bytes]:
        """A git bundle with one branch, in chunks."""
        ...


class Blobs(Protocol):
    """Big things by name, encrypted: see automesh.storage.blobs.BlobStore."""

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> object:
        """All of it or nothing."""
        ...

    def get(self, name: str) -> AsyncIterator[bytes]:
        """In chunks of at most 1 MiB."""
        ...


class Ledger(Protocol):
    """Names of blobs that are to be deleted when their time has come."""

    async def reserve(self, blob: str, keep_for: timedelta) -> None:
        """Before the first byte is written; or with 0 to have it deleted."""
        ...
