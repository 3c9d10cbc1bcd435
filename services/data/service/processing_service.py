"""ProcessingService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from automesh.data.v1 import processing_service_pb2 as pb
from automesh.data.v1 import processing_service_pb2_grpc as rpc
from automesh.mesh.caller import current_caller, current_tenant
from services.data.convert import processing as convert
from services.data.domain.claims import ClaimDesk
from services.data.domain.dependents import Dependents
from services.data.domain.reader import DatasetReader

Context = grpc.aio.ServicerContext[Any, Any]


class ProcessingServicer(rpc.ProcessingServiceServicer):
    """The agents' side of the data service."""

    def __init__(self, desk: ClaimDesk, reader: DatasetReader, dependents: Dependents) -> None:
        self._desk, self._reader, self._dependents = desk, reader, dependents

    async def ClaimProcessing(self, request: pb.ClaimProcessingRequest, context: Context) -> pb.ClaimProcessingResponse:
        claimed = await self._desk.claim(request.lease_token, tenant_id=current_caller().tenant_id)
        return convert.claimed(claimed)

    async def ReadInput(
        self, request: pb.ReadInputRequest, context: Context
    ) -> AsyncGenerator[pb.ReadInputResponse, None]:
        chunks = await self._desk.read_input(request.claim_token, request.name, tenant_id=current_caller().tenant_id)
        async for chunk in chunks:
            yield pb.ReadInputResponse(chunk=chunk)

    async def WriteOutput(
        self, request_iterator: AsyncIterator[pb.WriteOutputRequest], context: Context
    ) -> pb.WriteOutputResponse:
        header = await convert.header(request_iterator)
        info = await self._desk.write_output(
            header.claim_token,
            header.name,
            convert.chunks(request_iterator),
            tenant_id=current_caller().tenant_id,
        )
        return pb.WriteOutputResponse(file=convert.file_info(info))

    async def FinishProcessing(
        self, request: pb.FinishProcessingRequest, context: Context
    ) -> pb.FinishProcessingResponse:
        outcome = convert.outcome(request)
        version = await self._desk.finish(request.claim_token, outcome, tenant_id=current_caller().tenant_id)
        return convert.finished(version)

    async def ReadVersion(
        self, request: pb.ReadVersionRequest, context: Context
    ) -> AsyncGenerator[pb.ReadVersionResponse, None]:
        pieces = self._reader.for_lease(
            request.lease_token,
            request.data_id,
            request.version,
            tenant_id=current_caller().tenant_id,
            manifest_only=request.manifest_only,
        )
        first = True
        async with aclosing(pieces):
            async for piece in pieces:
                yield convert.piece(piece, first=first)
                first = False

    async def AddDependent(self, request: pb.AddDependentRequest, context: Context) -> pb.AddDependentResponse:
        await self._dependents.add(
            current_tenant(), request.data_id, request.version, request.model_id, request.model_version
        )
        return pb.AddDependentResponse()

    async def RemoveDependent(self, request: pb.RemoveDependentRequest, context: Context) -> pb.RemoveDependentResponse:
        await self._dependents.remove(current_tenant(), request.model_id, request.model_version)
        return pb.RemoveDependentResponse()
