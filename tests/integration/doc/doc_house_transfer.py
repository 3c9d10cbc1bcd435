"""Imports, exports and backups of a doc service, as people ask for them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from automesh.doc.v1 import backup_service_pb2 as backup_pb
from automesh.doc.v1 import backup_service_pb2_grpc as backup_rpc
from automesh.doc.v1 import document_service_pb2 as doc_pb
from automesh.doc.v1 import job_pb2
from automesh.doc.v1 import job_service_pb2 as job_pb
from automesh.doc.v1 import job_service_pb2_grpc as job_rpc
from automesh.doc.v1 import transfer_service_pb2 as pb
from automesh.doc.v1 import transfer_service_pb2_grpc as rpc
from tests.integration.doc.doc_house import ADMIN, Served

MIB = 1024 * 1024
ENDED = {job_pb2.JOB_STATE_DONE, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED}
Files = Mapping[str, bytes | str]


def zipped(files: Files) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return out.getvalue()


def tarred(files: Files, mode: str = "w:gz") -> bytes:
    """A tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]  # modes of tarfile are literals
        for path, content in files.items():
            body = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(path)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


def unzipped(archive: bytes) -> dict[str, bytes]:
    """Files by path, without what an export says of itself."""
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        return {name: read.read(name) for name in read.namelist() if name != ".automesh-export.json"}


class Transfers:
    """Somebody who imports and exports."""

    def __init__(self, served: Served, user: str = "ann", *permissions: str) -> None:
        self.served, self.user, self.permissions = served, user, permissions

    async def channel(self) -> grpc.aio.Channel:
        return await self.served.channel(self.user, *self.permissions)

    async def transfer(self) -> rpc.TransferServiceAsyncStub:
        return rpc.TransferServiceStub(await self.channel())

    async def jobs(self) -> job_rpc.JobServiceAsyncStub:
        return job_rpc.JobServiceStub(await self.channel())

    async def begin(self, archive: bytes, *, space: str = "handbook", **header: Any) -> job_pb2.Job:
        """Sends an archive, in pieces of a MiB."""

        async def requests() -> AsyncIterator[pb.ImportArchiveRequest]:
            yield pb.ImportArchiveRequest(space=space, **header)
            for start in range(0, len(archive), MIB):
                request = pb.ImportArchiveRequest()
                request.content.data = archive[start : start + MIB]
                yield request

        return (await (await self.transfer()).ImportArchive(requests())).job

    async def bring(self, archive: bytes | Files, **header: Any) -> job_pb2.Job:
        """Imports and waits for the end."""
        packed = archive if isinstance(archive, bytes) else zipped(archive)
        return await self.ended((await self.begin(packed, **header)).job_id)

    async def ended(self, job_id: str) -> job_pb2.Job:
        """The job once it has ended."""
        call = (await self.jobs()).WatchJob(job_pb.WatchJobRequest(job_id=job_id), timeout=300)
        last = job_pb2.Job()
        async for message in call:
            last = message.job
        assert last.state in ENDED
        return last

    async def done(self, archive: bytes | Files, **header: Any) -> job_pb2.Job:
        """The same; it must have gone well."""
        job = await self.bring(archive, **header)
        assert job.state == job_pb2.JOB_STATE_DONE, job
        return job

    async def export(self, *, space: str = "handbook", **asked: Any) -> bytes:
        """The file of an export."""
        stub = await self.transfer()
        job = (await stub.ExportArchive(pb.ExportArchiveRequest(space=space, **asked))).job
        job = await self.ended(job.job_id)
        assert job.state == job_pb2.JOB_STATE_DONE, job
        return await self.download(job.job_id)

    async def download(self, job_id: str) -> bytes:
        call = (await self.transfer()).DownloadExport(pb.DownloadExportRequest(job_id=job_id))
        return b"".join([body.data async for body in call])

    async def paths(self, space: str = "handbook", **asked: Any) -> dict[str, str]:
        """Ids of documents by path."""
        stub = await self.served.documents(self.user, *self.permissions)
        found = await stub.ListDocuments(doc_pb.ListDocumentsRequest(space=space, page_size=1000, **asked))
        return {each.path: each.document_id for each in found.documents}

    async def text(self, path: str, space: str = "handbook", branch: str = "main") -> str:
        """What a document says."""
        paths = await self.paths(space, branch=branch)
        return (await self.served.read(paths[path], user=self.user, branch=branch)).content


def problems(job: job_pb2.Job) -> dict[str, str]:
    """By path."""
    return {each.path: each.message for each in job.problems}


class Backups:
    """An admin who makes backups and restores them."""

    def __init__(self, served: Served, tenant_id: str = "default") -> None:
        self.served, self.tenant_id = served, tenant_id

    async def stub(self) -> backup_rpc.BackupServiceAsyncStub:
        return backup_rpc.BackupServiceStub(await self.served.channel("root", *ADMIN, tenant_id=self.tenant_id))

    async def ended(self, job: job_pb2.Job) -> job_pb2.Job:
        stub = job_rpc.JobServiceStub(await self.served.channel("root", *ADMIN, tenant_id=self.tenant_id))
        last = job
        async for message in stub.WatchJob(job_pb.WatchJobRequest(job_id=job.job_id), timeout=300):
            last = message.job
        return last

    async def make(self, **asked: Any) -> backup_pb.Backup:
        """A backup, whole."""
        stub = await self.stub()
        job = await self.ended((await stub.CreateBackup(backup_pb.CreateBackupRequest(**asked))).job)
        assert job.state == job_pb2.JOB_STATE_DONE, job
        return await self.get(job.backup_id)

    async def get(self, backup_id: str) -> backup_pb.Backup:
        return (await (await self.stub()).GetBackup(backup_pb.GetBackupRequest(backup_id=backup_id))).backup

    async def list(self) -> list[backup_pb.Backup]:
        return list((await (await self.stub()).ListBackups(backup_pb.ListBackupsRequest())).backups)

    async def verify(self, backup_id: str) -> job_pb2.Job:
        stub = await self.stub()
        return await self.ended((await stub.VerifyBackup(backup_pb.VerifyBackupRequest(backup_id=backup_id))).job)

    async def restore(self, backup_id: str, **asked: Any) -> job_pb2.Job:
        stub = await self.stub()
        request = backup_pb.RestoreBackupRequest(backup_id=backup_id, **asked)
        return await self.ended((await stub.RestoreBackup(request)).job)

    async def restored(self, backup_id: str, **asked: Any) -> job_pb2.Job:
        """The same; it must have gone well."""
        job = await self.restore(backup_id, **asked)
        assert job.state == job_pb2.JOB_STATE_DONE, job
        return job

    async def delete(self, backup_id: str) -> None:
        await (await self.stub()).DeleteBackup(backup_pb.DeleteBackupRequest(backup_id=backup_id))
