"""Long work: jobs, imports and exports, backups."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from automesh.doc.v1 import (
    backup_service_pb2,
    backup_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
    transfer_service_pb2,
    transfer_service_pb2_grpc,
)
from automesh.mesh.server import Bound
from services.doc.clients.archive_limits import ArchiveLimits
from services.doc.clients.backup_store import BlobBackupStore
from services.doc.clients.hints import FanoutHints
from services.doc.clients.sources import ArchivePacker, BlobSources
from services.doc.domain.backups.desk import BackupDesk
from services.doc.domain.backups.making import BackupWork
from services.doc.domain.backups.restoring import RestoreGround, RestoreWork
from services.doc.domain.backups.verifying import VerifyWork
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.jobs.desk import JobDesk
from services.doc.domain.jobs.job import JobKind
from services.doc.domain.jobs.ports import Work
from services.doc.domain.transfer.desk import TransferDesk
from services.doc.domain.transfer.exporting import ExportGround, ExportWork
from services.doc.domain.transfer.importing import ImportGround, ImportWork
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.loops.backups import BackupSchedule
from services.doc.loops.jobs import JobLoop
from services.doc.service.backup_service import BackupServicer
from services.doc.service.job_service import JobServicer
from services.doc.service.transfer_service import TransferServicer
from services.doc.store.imports import SqlHistoryStore, SqlImportStore
from services.doc.store.jobs import SqlJobStore
from services.doc.store.restores import SqlRestorer
from services.doc.store.snapshots import SqlSnapshots

MAX_FILE = 32 * 1024 * 1024
"""Of one file in an archive: it is in memory once."""


@asynccontextmanager
async def open_jobs(core: Core) -> AsyncGenerator[Part]:
    """See Part."""
    options, jobs = core.options, SqlJobStore(core.outside.database)
    hints, bell = FanoutHints(core.outside.fanout), Doorbell()  # of jobs
    desk = JobDesk(jobs, core.directory, hints, bell)
    packer = ArchivePacker(options.scratch)
    works: dict[JobKind, Work] = {
        JobKind.IMPORT: ImportWork(_import_ground(core, jobs)),
        JobKind.EXPORT: ExportWork(_export_ground(core, packer)),
    }
    backups = BlobBackupStore(core.outside.backups or core.outside.blobs)
    works |= _backup_works(core, backups)
    schedule = BackupSchedule(
        jobs, backups, desk, jobs, make_id=options.make_id, every_s=options.backup_every_s, keep=options.keep_backups
    )
    loop = JobLoop(jobs, works, hints, bell, at_once=options.jobs_at_once, poll_s=1.0, lease_s=options.job_lease_s)
    try:
        yield Part(
            bounds=[
                Bound(
                    job_service_pb2.DESCRIPTOR.services_by_name["JobService"],
                    job_service_pb2_grpc.add_JobServiceServicer_to_server,
                    JobServicer(desk),
                ),
                Bound(
                    transfer_service_pb2.DESCRIPTOR.services_by_name["TransferService"],
                    transfer_service_pb2_grpc.add_TransferServiceServicer_to_server,
                    TransferServicer(_transfer_desk(core, desk), desk, packer, options.clock),
                ),
                Bound(
                    backup_service_pb2.DESCRIPTOR.services_by_name["BackupService"],
                    backup_service_pb2_grpc.add_BackupServiceServicer_to_server,
                    BackupServicer(BackupDesk(backups, desk, core.directory, make_id=options.make_id), desk),
                ),
            ],
            loops={"jobs": loop.step, "backups": schedule.step},
        )
    finally:
        await loop.close()


def _transfer_desk(core: Core, desk: JobDesk) -> TransferDesk:
    return TransferDesk(
        desk,
        directory=core.directory,
        branches=core.branches,
        blobs=core.outside.blobs,
        ledger=core.blob_ledger,
        tasks=core.outside.tasks,
        make_id=core.options.make_id,
        clock=core.options.clock,
        max_bytes=core.options.max_import_bytes,
    )


def _import_ground(core: Core, jobs: SqlJobStore) -> ImportGround:
    options = core.options
    limits = ArchiveLimits(max_unpacked=options.max_unpacked_bytes, max_file=MAX_FILE)
    return ImportGround(
        directory=core.directory,
        branches=core.branches,
        documents=core.documents,
        shelf=core.attachments,
        checks=lambda: core.checks,
        store=SqlImportStore(
            core.outside.database, core.documents.writes, core.contents, jobs, lease_s=options.job_lease_s
        ),
        sources=BlobSources(core.outside.blobs, options.scratch, limits),
        doorbell=core.doorbell,
        make_id=options.make_id,
        max_page_bytes=options.max_page_bytes,
    )


def _backup_works(core: Core, backups: BlobBackupStore) -> dict[JobKind, Work]:
    outside, options = core.outside, core.options
    restorer = SqlRestorer(
        outside.database,
        core.contents,
        outside.sealer,
        blobs=outside.blobs,
        ledger=core.blob_ledger,
        make_id=options.make_id,
    )
    ground = RestoreGround(
        store=backups, restorer=restorer, documents=core.documents, doorbell=core.doorbell, make_id=options.make_id
    )
    snapshots = SqlSnapshots(outside.database, outside.sealer, core.attachments)
    return {
        JobKind.BACKUP: BackupWork(backups, snapshots, keep=options.keep_backups),
        JobKind.VERIFY: VerifyWork(backups),
        JobKind.RESTORE: RestoreWork(ground),
    }


def _export_ground(core: Core, packer: ArchivePacker) -> ExportGround:
    return ExportGround(
        directory=core.directory,
        branches=core.branches,
        documents=core.documents,
        history=SqlHistoryStore(core.outside.database),
        shelf=core.attachments,
        packer=packer,
        blobs=core.outside.blobs,
        ledger=core.blob_ledger,
        keep_for=timedelta(seconds=core.options.keep_exports_s),
    )
