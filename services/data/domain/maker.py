"""Has versions made: stores what is wanted, submits the task, and waits for the end where somebody wants to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from automesh.core.errors import AutomationError, ValidationError
from services.data.domain.errors import ClaimRefused, quota_exceeded
from services.data.domain.order import Order, Resolver
from services.data.domain.ports import Lease, Tasks, UploadStore, VersionStore
from services.data.domain.version import Draft, Version

TASK_TYPE = "data_processing"
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.05, 0.5

ReadOrder = Callable[[Mapping[str, Any]], Order]
"""The order in the input of a task that somebody made by hand. Raises ValidationError, naming the field."""


class VersionMaker:
    """One way for all versions, whoever asks and however."""

    def __init__(
        self,
        versions: VersionStore,
        uploads: UploadStore,
        tasks: Tasks,
        resolver: Resolver,
        *,
        make_id: Callable[[str], str],
        read_order: ReadOrder,
        made: Callable[[Version], object] = lambda _: None,
        quota: int,
    ) -> None:
        """`made` is told of versions that are on their way, so that what they need can be fetched meanwhile."""
        self._versions = versions
        self._uploads = uploads
        self._tasks = tasks
        self._resolver = resolver
        self._make_id = make_id
        self._read_order = read_order
        self._made = made
        self._quota = quota

    async def make(self, tenant_id: str, subject: str, order: Order, *, request_id: str = "") -> Version:
        """A version that is being made, with its task; the same `request_id` returns the same one."""
        draft = await self._draft(tenant_id, subject, order, request_id=request_id)
        if isinstance(draft, Version):
            return draft if draft.task_id or draft.finished else await self._submit(draft)
        version, fresh = await self._versions.draft(draft, order.new)
        if version.task_id or version.finished:
            return version
        try:
            version = await self._submit(version)
        except AutomationError:
            if fresh:
                await self._versions.withdraw(version)
            raise
        self._made(version)
        return version

    async def of_lease(self, lease: Lease) -> Version:
        """The version that a leased task is to make; that of a task made by hand is stored now, once.

        Raises ValidationError for an input that says neither, ClaimRefused for another task's version.
        """
        if lease.task_type != TASK_TYPE:
            raise ClaimRefused(f"a lease of a {lease.task_type!r} task makes no version: {TASK_TYPE} does")
        known = await self._versions.of_task(lease.tenant_id, lease.task_id)
        if known is not None:
            return known
        if "version" in lease.input:
            return await self._named(lease)
        order = self._read_order(lease.input)
        draft = await self._draft(lease.tenant_id, lease.created_by, order, task_id=lease.task_id)
        if isinstance(draft, Version):
            return draft
        version, _ = await self._versions.draft(draft, order.new)
        return version

    async def resubmit(self, version: Version) -> Version:
        """For a version whose task was never made because a process died just then."""
        return await self._submit(version)

    async def wait(self, version: Version, span: timedelta) -> Version:
        """The version once it is finished, or as it is when `span` is over."""
        pause_s, deadline = _FIRST_LOOK_S, asyncio.get_running_loop().time() + span.total_seconds()
        while not version.finished and (left_s := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _LONGEST_LOOK_S)
            version = await self._versions.get(version.tenant_id, version.data_id, version.version)
        return version

    async def _draft(
        self, tenant_id: str, subject: str, order: Order, *, request_id: str = "", task_id: str = ""
    ) -> Draft | Version:
        fingerprint = order.fingerprint()
        if request_id:
            known = await self._versions.of_request(tenant_id, request_id, fingerprint)
            if known is not None:
                return known
        if (used := await self._uploads.used(tenant_id)) >= self._quota:
            raise quota_exceeded(used, self._quota)
        return Draft(
            tenant_id=tenant_id,
            data_id=order.data_id or self._make_id("data"),
            recipe=await self._resolver.resolve(tenant_id, order),
            created_by=subject,
            task_id=task_id,
            request_id=request_id,
            fingerprint=fingerprint,
        )

    async def _named(self, lease: Lease) -> Version:
        data_id, number = lease.input.get("data_id"), lease.input["version"]
        if not isinstance(data_id, str) or not isinstance(number, int | float) or number < 1 or number != int(number):
            raise ValidationError("input names a version as data_id (text) and version (from 1)", field="input.version")
        version = await self._versions.get(lease.tenant_id, data_id, int(number))
        if version.task_id not in {"", lease.task_id}:
            raise ClaimRefused(f"version {version.version} of {data_id} is made by task {version.task_id}")
        return version

    async def _submit(self, version: Version) -> Version:
        task_id = await self._tasks.submit(version)
        await self._versions.bind(version, task_id)
        return await self._versions.get(version.tenant_id, version.data_id, version.version)
