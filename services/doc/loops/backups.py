"""Backups that come by themselves, and old jobs that go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from services.doc.domain.backups.backup import SCHEDULE
from services.doc.domain.backups.ports import BackupStore, Tenants
from services.doc.domain.backups.retention import wants_full
from services.doc.domain.jobs.desk import JobDesk
from services.doc.domain.jobs.errors import BackupRunning, TooManyJobs
from services.doc.domain.jobs.job import JobKind, NewJob
from services.doc.domain.jobs.ports import JobStore

LOOK_EVERY_S = 60.0
KEEP_JOBS_DAYS = 30
ROUNDS = 20


class BackupSchedule:
    """Asks for a backup of each tenant every `every_s` seconds; 0: never."""

    def __init__(
        self,
        tenants: Tenants,
        store: BackupStore,
        jobs: JobDesk,
        rows: JobStore,
        *,
        make_id: Callable[[str], str],
        every_s: float,
        keep: int,
    ) -> None:
        self._tenants, self._store, self._jobs, self._rows = tenants, store, jobs, rows
        self._make_id, self._every_s, self._keep = make_id, every_s, keep

    async def step(self) -> None:
        """Looks, then waits."""
        await self.look()
        for _ in range(ROUNDS):
            if not await self._rows.prune(KEEP_JOBS_DAYS):
                break
        await asyncio.sleep(min(LOOK_EVERY_S, self._every_s / 4) if self._every_s else LOOK_EVERY_S)

    async def look(self) -> None:
        """Asks for what is due. Another replica may have asked at the same moment: then its backup counts."""
        if not self._every_s:
            return
        for tenant_id in await self._tenants.due(timedelta(seconds=self._every_s)):
            full = wants_full(await self._store.list(tenant_id), self._keep)
            with suppress(BackupRunning, TooManyJobs):
                await self._jobs.start(
                    NewJob(
                        job_id=self._make_id("job"),
                        tenant_id=tenant_id,
                        kind=JobKind.BACKUP,
                        backup_id=self._make_id("backup"),
                        asked={"full": full},
                        created_by=SCHEDULE,
                        admin=True,
                    )
                )
