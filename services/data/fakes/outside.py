"""What the data service reaches out to, in memory: the orchestrator, URLs, the converting program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from automesh.core.errors import AutomationError, Kind
from services.data.domain.errors import FetchFailed, UrlRefused
from services.data.domain.ports import Lease, TaskState
from services.data.domain.version import Version


class LeaseOver(AutomationError):
    """The lease went to somebody else, or is over."""

    kind = Kind.ABORTED
    reason = "LEASE_LOST"


@dataclass
class FakeTask:
    """A task as the fake keeps it."""

    lease: Lease
    state: TaskState


class FakeTasks:
    """A services.data.domain.ports.Tasks whose tasks a test leases and ends."""

    def __init__(self) -> None:
        self.tasks: dict[str, FakeTask] = {}
        self.cancelled: list[str] = []
        self.refuses: AutomationError | None = None
        self.submitted = asyncio.Event()
        self._tokens: dict[bytes, tuple[str, int]] = {}

    async def submit(self, version: Version) -> str:
        if self.refuses is not None:
            raise self.refuses
        task_id = f"task_{version.data_id}_{version.version}"
        if task_id not in self.tasks:
            given = {"data_id": version.data_id, "version": float(version.version)}
            self.add(task_id, given, tenant_id=version.tenant_id, created_by=version.created_by)
        self.submitted.set()
        return task_id

    def add(
        self,
        task_id: str,
        given: Mapping[str, Any],
        *,
        tenant_id: str = "default",
        created_by: str = "user_test",
        task_type: str = "data_processing",
    ) -> None:
        """A task that somebody made by hand."""
        lease = Lease(
            tenant_id=tenant_id, task_id=task_id, task_type=task_type, attempt=0, created_by=created_by, input=given
        )
        self.tasks[task_id] = FakeTask(lease, TaskState(status="SCHEDULED"))

    def take(self, task_id: str) -> bytes:
        """Leases a task (again); the lease before is over."""
        task = self.tasks[task_id]
        task.lease = replace(task.lease, attempt=task.lease.attempt + 1)
        task.state = TaskState(status="RUNNING")
        token = f"{task_id}#{task.lease.attempt}".encode()
        self._tokens[token] = (task_id, task.lease.attempt)
        return token

    def end(self, task_id: str, status: str, reason: str = "", message: str = "") -> None:
        """A task is over."""
        self.tasks[task_id].state = TaskState(status=status, reason=reason, message=message)

    async def state(self, tenant_id: str, task_id: str) -> TaskState | None:
        task = self.tasks.get(task_id)
        return task.state if task is not None and task.lease.tenant_id == tenant_id else None

    async def cancel(self, tenant_id: str, task_id: str, reason: str) -> None:
        self.cancelled.append(task_id)
        self.end(task_id, "CANCELLED")

    async def lease(self, token: bytes) -> Lease:
        task_id, attempt = self._tokens.get(token, ("", 0))
        task = self.tasks.get(task_id)
        if task is None or task.lease.attempt != attempt or task.state.status != "RUNNING":
            raise LeaseOver("the lease is over")
        return task.lease


class FakeUrls:
    """A services.data.domain.ports.Urls: files by URL; those that are not there cannot be fetched."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.fetched: list[str] = []
        self.gate = asyncio.Event()
        """Cleared, fetches wait for it."""
        self.gate.set()
        self.ended = asyncio.Event()
        """Set once a fetch is over, well or not."""
        self.fails: AutomationError | None = None

    def check(self, url: str) -> None:
        if not url.startswith("https://files.test/"):
            raise UrlRefused(f"{url} is not on the allow-list", field="source.url.url")

    async def fetch(self, url: str) -> AsyncIterator[bytes]:
        self.fetched.append(url)
        await self.gate.wait()
        try:
            if self.fails is not None:
                raise self.fails
            if url not in self.files:
                raise FetchFailed(f"{url} answered 404")
            yield self.files[url]
        finally:
            self.ended.set()


class FakeConverter:
    """A services.data.domain.ports.Converter that only says what it would do."""

    @asynccontextmanager
    async def convert(self, parquet: AsyncIterable[bytes], file_format: str) -> AsyncIterator[AsyncIterator[bytes]]:
        content = b"".join([chunk async for chunk in parquet])
        yield _one(f"{file_format}:".encode() + content)


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content
