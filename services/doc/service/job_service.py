"""JobService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from automesh.doc.v1 import job_service_pb2 as pb
from automesh.doc.v1 import job_service_pb2_grpc as rpc
from services.doc.convert import jobs as convert
from services.doc.domain.jobs.desk import JobDesk
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class JobServicer(rpc.JobServiceServicer):
    """Long work, followed and cancelled."""

    def __init__(self, desk: JobDesk) -> None:
        self._desk = desk

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        return pb.GetJobResponse(job=convert.job(await self._desk.get(current_person(), request.job_id)))

    async def WatchJob(
        self, request: pb.WatchJobRequest, context: Context
    ) -> AsyncGenerator[pb.WatchJobResponse, None]:
        async with aclosing(self._desk.watch(current_person(), request.job_id)) as jobs:
            async for job in jobs:
                yield pb.WatchJobResponse(job=convert.job(job))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        limit, before = convert.page(request)
        found, after = await self._desk.list(current_person(), request.space, limit=limit, before=before)
        return convert.jobs_page(found, after, request)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.CancelJobResponse:
        return pb.CancelJobResponse(job=convert.job(await self._desk.cancel(current_person(), request.job_id)))
