"""BackupService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.doc.v1 import backup_service_pb2 as pb
from automesh.doc.v1 import backup_service_pb2_grpc as rpc
from services.doc.convert import backups as convert
from services.doc.convert import jobs
from services.doc.domain.backups.desk import BackupDesk
from services.doc.domain.jobs.desk import JobDesk
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class BackupServicer(rpc.BackupServiceServicer):
    """Backups, made, looked at, brought back."""

    def __init__(self, desk: BackupDesk, jobs: JobDesk) -> None:
        self._desk, self._jobs = desk, jobs

    async def CreateBackup(self, request: pb.CreateBackupRequest, context: Context) -> pb.CreateBackupResponse:
        wait = jobs.wait(request.wait if request.HasField("wait") else None, context.time_remaining())
        job = await self._desk.create(current_person(), request.spaces, full=request.full)
        return pb.CreateBackupResponse(job=jobs.job(await self._jobs.wait(job, wait)))

    async def GetBackup(self, request: pb.GetBackupRequest, context: Context) -> pb.GetBackupResponse:
        return pb.GetBackupResponse(backup=convert.backup(await self._desk.get(current_person(), request.backup_id)))

    async def ListBackups(self, request: pb.ListBackupsRequest, context: Context) -> pb.ListBackupsResponse:
        limit, before = convert.page(request)
        return convert.backups_page(await self._desk.list(current_person(), limit=limit, before=before), request)

    async def VerifyBackup(self, request: pb.VerifyBackupRequest, context: Context) -> pb.VerifyBackupResponse:
        wait = jobs.wait(request.wait if request.HasField("wait") else None, context.time_remaining())
        job = await self._desk.verify(current_person(), request.backup_id)
        return pb.VerifyBackupResponse(job=jobs.job(await self._jobs.wait(job, wait)))

    async def RestoreBackup(self, request: pb.RestoreBackupRequest, context: Context) -> pb.RestoreBackupResponse:
        wait = jobs.wait(request.wait if request.HasField("wait") else None, context.time_remaining())
        job = await self._desk.restore(
            current_person(),
            request.backup_id,
            space=request.space,
            document_id=request.document_id,
            as_space=request.as_space,
        )
        return pb.RestoreBackupResponse(job=jobs.job(await self._jobs.wait(job, wait)))

    async def DeleteBackup(self, request: pb.DeleteBackupRequest, context: Context) -> pb.DeleteBackupResponse:
        await self._desk.delete(current_person(), request.backup_id)
        return pb.DeleteBackupResponse()
