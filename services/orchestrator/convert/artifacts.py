"""Messages of ArtifactService and the domain."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

from google.api.httpbody_pb2 import HttpBody

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.mesh import times
from automesh.orchestrator.v1 import artifact_service_pb2 as pb
from services.orchestrator.domain.artifact import Artifact


def artifact(artifact: Artifact) -> pb.Artifact:
    """The message of an artifact."""
    return pb.Artifact(
        task_id=artifact.task_id,
        name=artifact.name,
        content_type=artifact.content_type,
        size=artifact.size,
        sha256=artifact.sha256,
        create_time=times.timestamp(artifact.created_at),
    )


async def header(requests: AsyncIterator[pb.UploadArtifactRequest]) -> pb.UploadArtifactHeader:
    """The first message of an upload. Raises ValidationError for anything else."""
    async for request in requests:
        if request.WhichOneof("part") == "header":
            return request.header
        break
    raise ValidationError("the first message of an upload is its header", field="header")


async def chunks(requests: AsyncIterable[pb.UploadArtifactRequest]) -> AsyncIterator[bytes]:
    """The other messages of an upload. Raises ValidationError for a second header."""
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise ValidationError("after the header an upload has only chunks", field="chunk")
        yield request.chunk


async def bodies(artifact: Artifact, chunks: AsyncIterable[bytes]) -> AsyncGenerator[HttpBody, None]:
    """A download; the content type is in the first message, which an empty file has too."""
    content_type = artifact.content_type
    async for chunk in chunks:
        yield HttpBody(content_type=content_type, data=chunk)
        content_type = ""
    if content_type:
        yield HttpBody(content_type=content_type)


def page(request: pb.ListArtifactsRequest) -> tuple[int, str | None]:
    """How many, and after which name."""
    filters = ["artifacts", request.task_id]
    return paging.page_size(request.page_size), paging.decode_token(request.page_token, filters=filters)


def page_token(last: Artifact) -> str:
    """Continues after `last`."""
    return paging.encode_token(last.name, filters=["artifacts", last.task_id])
