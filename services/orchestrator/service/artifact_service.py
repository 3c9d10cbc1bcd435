"""ArtifactService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody

from automesh.mesh.caller import current_caller, current_tenant
from automesh.orchestrator.v1 import artifact_service_pb2 as pb
from automesh.orchestrator.v1 import artifact_service_pb2_grpc as rpc
from services.orchestrator.convert import artifacts as convert
from services.orchestrator.domain.shelf import ArtifactShelf

Context = grpc.aio.ServicerContext[Any, Any]


class ArtifactServicer(rpc.ArtifactServiceServicer):
    """Files of tasks, in and out."""

    def __init__(self, shelf: ArtifactShelf) -> None:
        self._shelf = shelf

    async def UploadArtifact(
        self, request_iterator: AsyncIterator[pb.UploadArtifactRequest], context: Context
    ) -> pb.UploadArtifactResponse:
        header = await convert.header(request_iterator)
        artifact = await self._shelf.upload(
            header.lease_token,
            header.name,
            header.content_type,
            convert.chunks(request_iterator),
            tenant_id=current_caller().tenant_id,
        )
        return pb.UploadArtifactResponse(artifact=convert.artifact(artifact))

    async def ListArtifacts(self, request: pb.ListArtifactsRequest, context: Context) -> pb.ListArtifactsResponse:
        limit, after = convert.page(request)
        tenant_id = current_tenant()
        artifacts = await self._shelf.list(tenant_id, request.task_id, limit=limit + 1, after=after)
        return pb.ListArtifactsResponse(
            artifacts=[convert.artifact(artifact) for artifact in artifacts[:limit]],
            next_page_token=convert.page_token(artifacts[limit - 1]) if len(artifacts) > limit else "",
        )

    async def DownloadArtifact(
        self, request: pb.DownloadArtifactRequest, context: Context
    ) -> AsyncGenerator[HttpBody, None]:
        tenant_id = current_tenant()
        artifact, chunks = await self._shelf.download(tenant_id, request.task_id, request.name)
        async with aclosing(convert.bodies(artifact, chunks)) as bodies:
            async for body in bodies:
                yield body
