"""TransferService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody

from automesh.core.clock import Clock
from automesh.core.errors import ValidationError
from automesh.doc.v1 import transfer_service_pb2 as pb
from automesh.doc.v1 import transfer_service_pb2_grpc as rpc
from services.doc.convert import jobs
from services.doc.convert import transfer as convert
from services.doc.domain.jobs.desk import JobDesk
from services.doc.domain.transfer.asked import TAR_GZ
from services.doc.domain.transfer.desk import TransferDesk
from services.doc.domain.transfer.ports import Packer
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]
LONGEST_STORE_S = 600.0


class TransferServicer(rpc.TransferServiceServicer):
    """Documents in and out."""

    def __init__(self, desk: TransferDesk, jobs: JobDesk, packer: Packer, clock: Clock) -> None:
        self._desk, self._jobs, self._packer, self._clock = desk, jobs, packer, clock

    async def ImportArchive(
        self, request_iterator: AsyncIterator[pb.ImportArchiveRequest], context: Context
    ) -> pb.ImportArchiveResponse:
        person = current_person()
        first = await anext(request_iterator, None)
        if first is None:
            raise ValidationError("the first message of an import names its space", field="space")
        asked = convert.import_asked(first)
        wait = jobs.wait(first.wait if first.HasField("wait") else None, None)
        job = await self._desk.import_archive(person, first.space, asked, convert.chunks(first, request_iterator))
        left = jobs.within(wait, context.time_remaining())
        return pb.ImportArchiveResponse(job=jobs.job(await self._jobs.wait(job, left)))

    async def ExportArchive(self, request: pb.ExportArchiveRequest, context: Context) -> pb.ExportArchiveResponse:
        wait = jobs.wait(request.wait if request.HasField("wait") else None, context.time_remaining())
        job = await self._desk.export_archive(current_person(), request.space, convert.export_asked(request))
        return pb.ExportArchiveResponse(job=jobs.job(await self._jobs.wait(job, wait)))

    async def DownloadExport(
        self, request: pb.DownloadExportRequest, context: Context
    ) -> AsyncGenerator[HttpBody, None]:
        format, chunks = await self._desk.download(current_person(), request.job_id)
        async for body in convert.bodies(format, chunks):
            yield body

    async def StoreDocumentation(
        self, request_iterator: AsyncIterator[pb.StoreDocumentationRequest], context: Context
    ) -> pb.StoreDocumentationResponse:
        header = await convert.header(request_iterator)
        lease = await self._desk.lease(header.lease_token)
        files = convert.files(request_iterator, self._clock())
        job = await self._desk.store(header.lease_token, lease, self._packer.archive(TAR_GZ, files))
        left = jobs.within(timedelta(seconds=LONGEST_STORE_S), context.time_remaining())
        return pb.StoreDocumentationResponse(job=jobs.job(await self._jobs.wait(job, left)))
