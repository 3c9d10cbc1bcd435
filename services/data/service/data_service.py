"""DataService over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody

from automesh.core.errors import ValidationError
from automesh.data.v1 import data_service_pb2 as pb
from automesh.data.v1 import data_service_pb2_grpc as rpc
from automesh.mesh.caller import current_caller, current_tenant
from services.data.convert import datasets as convert
from services.data.convert import orders
from services.data.domain.catalogue import DatasetCatalogue
from services.data.domain.intake import UploadIntake
from services.data.domain.maker import VersionMaker
from services.data.domain.reader import DatasetReader
from services.data.domain.upload import PARQUET

Context = grpc.aio.ServicerContext[Any, Any]


class DataServicer(rpc.DataServiceServicer):
    """The front door for data."""

    def __init__(
        self, catalogue: DatasetCatalogue, maker: VersionMaker, intake: UploadIntake, reader: DatasetReader
    ) -> None:
        self._catalogue, self._maker, self._intake, self._reader = catalogue, maker, intake, reader

    async def ProcessData(self, request: pb.ProcessDataRequest, context: Context) -> pb.ProcessDataResponse:
        tenant_id, subject = current_tenant(), current_caller().subject
        wait = orders.wait(request, context.time_remaining())
        version = await self._maker.make(tenant_id, subject, orders.order(request), request_id=request.request_id)
        version = await self._maker.wait(version, wait)
        return pb.ProcessDataResponse(
            dataset=convert.dataset(await self._catalogue.get(tenant_id, version.data_id)),
            version=convert.version(version),
            task_id=version.task_id,
        )

    async def UploadFile(
        self, request_iterator: AsyncIterator[pb.UploadFileRequest], context: Context
    ) -> pb.UploadFileResponse:
        tenant_id, subject = current_tenant(), current_caller().subject
        first = await anext(request_iterator, None)
        if first is None:
            raise ValidationError("the first message of an upload says the file's name", field="name")
        upload = await self._intake.take(
            tenant_id, subject, convert.new_upload(first), convert.chunks(first, request_iterator)
        )
        return pb.UploadFileResponse(upload=convert.upload(upload))

    async def GetDataset(self, request: pb.GetDatasetRequest, context: Context) -> pb.GetDatasetResponse:
        dataset = await self._catalogue.get(current_tenant(), request.data_id)
        return pb.GetDatasetResponse(dataset=convert.dataset(dataset))

    async def ListDatasets(self, request: pb.ListDatasetsRequest, context: Context) -> pb.ListDatasetsResponse:
        found = await self._catalogue.list(current_tenant(), convert.query(request))
        return convert.datasets_page(found, request)

    async def UpdateDataset(self, request: pb.UpdateDatasetRequest, context: Context) -> pb.UpdateDatasetResponse:
        tenant_id, subject = current_tenant(), current_caller().subject
        edit, order, wait = (
            orders.edit(request),
            orders.order_of_update(request),
            orders.wait(request, context.time_remaining()),
        )
        if order is None:
            dataset = await self._catalogue.edit(tenant_id, request.data_id, edit)
            return pb.UpdateDatasetResponse(dataset=convert.dataset(dataset))
        version = await self._maker.make(tenant_id, subject, order, request_id=request.request_id)
        await self._catalogue.edit(tenant_id, request.data_id, edit)  # not before it is sure that the order is good
        version = await self._maker.wait(version, wait)
        return pb.UpdateDatasetResponse(
            dataset=convert.dataset(await self._catalogue.get(tenant_id, version.data_id)),
            version=convert.version(version),
            task_id=version.task_id,
        )

    async def DeleteDataset(self, request: pb.DeleteDatasetRequest, context: Context) -> pb.DeleteDatasetResponse:
        await self._catalogue.delete(current_tenant(), request.data_id, force=request.force, reason=request.reason)
        return pb.DeleteDatasetResponse()

    async def GetDatasetVersion(
        self, request: pb.GetDatasetVersionRequest, context: Context
    ) -> pb.GetDatasetVersionResponse:
        version = await self._catalogue.version(current_tenant(), request.data_id, request.version)
        return pb.GetDatasetVersionResponse(version=convert.version(version))

    async def ListDatasetVersions(
        self, request: pb.ListDatasetVersionsRequest, context: Context
    ) -> pb.ListDatasetVersionsResponse:
        limit, before = convert.versions_query(request)
        found = await self._catalogue.versions(current_tenant(), request.data_id, limit=limit, before=before)
        return convert.versions_page(found, request)

    async def PreviewDataset(self, request: pb.PreviewDatasetRequest, context: Context) -> pb.PreviewDatasetResponse:
        found = await self._reader.preview(
            current_tenant(), request.data_id, request.version, request.part, request.rows
        )
        return await asyncio.to_thread(convert.preview, found)  # thousands of columns would hold up everybody else

    async def GetStatistics(self, request: pb.GetStatisticsRequest, context: Context) -> pb.GetStatisticsResponse:
        found = await self._reader.statistics(current_tenant(), request.data_id, request.version, request.part)
        return await asyncio.to_thread(convert.statistics, found)

    async def GetLineage(self, request: pb.GetLineageRequest, context: Context) -> pb.GetLineageResponse:
        found = await self._catalogue.lineage(current_tenant(), request.data_id, request.version)
        return convert.lineage(found)

    async def DownloadDataset(
        self, request: pb.DownloadDatasetRequest, context: Context
    ) -> AsyncGenerator[HttpBody, None]:
        file_format = convert.format_name(request.format)
        content_type = convert.MEDIA_TYPES[file_format or PARQUET]
        chunks = self._reader.download(current_tenant(), request.data_id, request.version, request.part, file_format)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield HttpBody(content_type=content_type, data=chunk)
                content_type = ""
        if content_type:
            yield HttpBody(content_type=content_type)
