"""Messages of ModelService and the domain: versions, comparisons, files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.mesh.times import timestamp
from automesh.model.v1 import model_pb2 as pb
from automesh.model.v1 import model_service_pb2 as service_pb
from automesh.model.v1 import training_pb2
from services.model.domain.registry.comparison import Comparison
from services.model.domain.registry.version import ModelFile, ModelVersion


def version(found: ModelVersion) -> pb.ModelVersion:
    """The message of a version."""
    content = found.content
    return pb.ModelVersion(
        model_id=found.model_id,
        version=found.version,
        run_id=found.run_id,
        metrics=content.metrics,
        signature=ParseDict(dict(content.signature), pb.Signature(), ignore_unknown_fields=True),
        size=content.size,
        parameters=content.parameters,
        digest=content.digest,
        files=[_file(each) for each in content.files],
        card=ParseDict(dict(content.card), Struct()),
        spec=ParseDict(dict(content.spec), training_pb2.TrainingSpec(), ignore_unknown_fields=True),
        aliases=found.aliases,
        created_by=content.created_by,
        create_time=timestamp(found.created_at),
    )


def page(request: service_pb.ListModelVersionsRequest) -> tuple[int, int | None]:
    """How many, and below which version."""
    before = paging.decode_token(request.page_token, filters=["versions", request.model_id])
    if before is not None and not before.isdecimal():
        raise ValidationError("page_token is not one that ListModelVersions gave out", field="page_token")
    return paging.page_size(request.page_size), None if before is None else int(before)


def page_token(last: ModelVersion) -> str:
    """Continues after `last`."""
    return paging.encode_token(str(last.version), filters=["versions", last.model_id])


def comparison(found: Comparison) -> service_pb.CompareVersionsResponse:
    """Versions side by side."""
    return service_pb.CompareVersionsResponse(
        versions=[version(each) for each in found.versions],
        metrics=[service_pb.MetricComparison(name=row.name, values=row.values) for row in found.metrics],
        parameters=[service_pb.ParameterComparison(path=row.name, values=row.values) for row in found.parameters],
    )


async def bodies(file: ModelFile, chunks: AsyncIterable[bytes]) -> AsyncGenerator[HttpBody, None]:
    """A file; the content type is in the first message, which an empty file has too."""
    content_type = file.content_type
    async for chunk in chunks:
        yield HttpBody(content_type=content_type, data=chunk)
        content_type = ""
    if content_type:
        yield HttpBody(content_type=content_type)


def _file(file: ModelFile) -> pb.ModelFile:
    return pb.ModelFile(name=file.name, content_type=file.content_type, size=file.size, sha256=file.sha256)
