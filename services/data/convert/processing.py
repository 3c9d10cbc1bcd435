"""Messages of ProcessingService and the domain."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from automesh.core.errors import ValidationError
from automesh.data.v1 import processing_service_pb2 as pb
from services.data.convert import datasets, manifests, values
from services.data.domain.claims import Claimed
from services.data.domain.version import Failure, FileInfo, Manifest, Version

MAX_REASON, MAX_MESSAGE = 64, 16 * 1024


def claimed(found: Claimed) -> pb.ClaimProcessingResponse:
    """A claim, or what there is to say of a version that is finished already."""
    version = found.version
    response = pb.ClaimProcessingResponse(
        claim_token=found.token, data_id=version.data_id, version=version.version, finished=found.job is None
    )
    if found.job is None:
        response.result.CopyFrom(values.struct(version.result()))
        return response
    response.job = json.dumps(found.job.told).encode()
    response.inputs.extend(file_info(each.info) for each in found.job.inputs)
    return response


def file_info(info: FileInfo) -> pb.FileInfo:
    """The message of a file."""
    return pb.FileInfo(name=info.name, size=info.size, sha256=info.sha256)


async def header(requests: AsyncIterator[pb.WriteOutputRequest]) -> pb.WriteOutputHeader:
    """The first message of a file. Raises ValidationError for anything else."""
    async for request in requests:
        if request.WhichOneof("part") == "header":
            return request.header
        break
    raise ValidationError("the first message of a file is its header", field="header")


async def chunks(requests: AsyncIterator[pb.WriteOutputRequest]) -> AsyncIterator[bytes]:
    """The other messages of a file. Raises ValidationError for a second header."""
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise ValidationError("after the header a file has only chunks", field="chunk")
        yield request.chunk


def outcome(request: pb.FinishProcessingRequest) -> Manifest | Failure:
    """How a job ended. Raises ValidationError for neither a manifest nor a failure."""
    kind = request.WhichOneof("outcome")
    if kind == "manifest":
        return manifests.manifest(request.manifest)
    if kind == "failure":
        reason = request.failure.reason[:MAX_REASON] or "UNSPECIFIED"
        return Failure(reason, request.failure.message[:MAX_MESSAGE].replace("\x00", "\ufffd"))
    raise ValidationError("say how it ended: with a manifest or a failure", field="outcome")


def finished(version: Version) -> pb.FinishProcessingResponse:
    """The version and the result of its task."""
    return pb.FinishProcessingResponse(version=datasets.version(version), result=values.struct(version.result()))


def piece(content: bytes | FileInfo, *, first: bool) -> pb.ReadVersionResponse:
    """One message of a version's files: the manifest first, then descriptions and chunks."""
    if isinstance(content, FileInfo):
        return pb.ReadVersionResponse(file=file_info(content))
    return pb.ReadVersionResponse(manifest=content) if first else pb.ReadVersionResponse(chunk=content)
