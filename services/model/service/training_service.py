"""TrainingService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import grpc

from automesh.mesh.caller import current_caller
from automesh.model.v1 import training_service_pb2 as pb
from automesh.model.v1 import training_service_pb2_grpc as rpc
from services.model.convert import training as convert
from services.model.domain.runs.claims import ClaimDesk
from services.model.domain.runs.files import RunFiles
from services.model.domain.runs.reporting import Reporting

Context = grpc.aio.ServicerContext[Any, Any]


class TrainingServicer(rpc.TrainingServiceServicer):
    """The agents' side of runs. Agents of the platform come without a tenant, those of people with their own."""

    def __init__(self, desk: ClaimDesk, reporting: Reporting, files: RunFiles, *, silence_limit: timedelta) -> None:
        self._desk = desk
        self._reporting = reporting
        self._files = files
        self._silence_limit = silence_limit

    async def ClaimRun(self, request: pb.ClaimRunRequest, context: Context) -> pb.ClaimRunResponse:
        claimant = convert.claimant(request, tenant_id=current_caller().tenant_id)
        claimed = await self._desk.claim(request.lease_token, claimant)
        return convert.claimed(claimed, silence_limit=self._silence_limit)

    async def ReportProgress(self, request: pb.ReportProgressRequest, context: Context) -> pb.ReportProgressResponse:
        tenant_id = current_caller().tenant_id
        sequence = await self._reporting.report(request.run_token, convert.batch(request), tenant_id=tenant_id)
        return pb.ReportProgressResponse(sequence=sequence)

    async def UploadFile(
        self, request_iterator: AsyncIterator[pb.UploadFileRequest], context: Context
    ) -> pb.UploadFileResponse:
        header = await convert.header(request_iterator)
        file = await self._files.upload(
            header.run_token,
            header.name,
            convert.chunks(request_iterator),
            tenant_id=current_caller().tenant_id,
        )
        return pb.UploadFileResponse(file=convert.file(file))

    async def CommitCheckpoint(
        self, request: pb.CommitCheckpointRequest, context: Context
    ) -> pb.CommitCheckpointResponse:
        checkpoint = convert.checkpoint(request)
        await self._files.commit(request.run_token, checkpoint, tenant_id=current_caller().tenant_id)
        return pb.CommitCheckpointResponse()

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: Context
    ) -> AsyncGenerator[pb.DownloadFileResponse, None]:
        tenant_id = current_caller().tenant_id
        async with aclosing(self._files.download(request.run_token, request.name, tenant_id=tenant_id)) as chunks:
            async for chunk in chunks:
                yield pb.DownloadFileResponse(chunk=chunk)

    async def FinishRun(self, request: pb.FinishRunRequest, context: Context) -> pb.FinishRunResponse:
        tenant_id = current_caller().tenant_id
        if request.WhichOneof("outcome") == "failure":
            failure = convert.failure(request.failure)
            run = await self._reporting.fail(request.run_token, failure, tenant_id=tenant_id)
        else:
            outcome = convert.outcome(request.result)
            run = await self._reporting.complete(request.run_token, outcome, tenant_id=tenant_id)
        return convert.finished(run)
