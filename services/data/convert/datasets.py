"""Messages of DataService and the domain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.struct_pb2 import ListValue

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.data.v1 import data_service_pb2 as service_pb
from automesh.data.v1 import dataset_pb2 as pb
from automesh.data.v1 import pipeline_pb2, source_pb2
from automesh.mesh import times
from services.data.convert import manifests, values
from services.data.domain.dataset import Dataset, DatasetQuery
from services.data.domain.lineage import Lineage, Node
from services.data.domain.upload import ARROW, CSV, JSONL, PARQUET, NewUpload, Upload
from services.data.domain.version import Failure, State, Version

_STATE = {
    State.PROCESSING: pb.VERSION_STATE_PROCESSING,
    State.READY: pb.VERSION_STATE_READY,
    State.REJECTED: pb.VERSION_STATE_REJECTED,
    State.FAILED: pb.VERSION_STATE_FAILED,
}
MAX_PAGE_BYTES = 4 * 1024 * 1024
MEDIA_TYPES = {
    PARQUET: "application/vnd.apache.parquet",
    CSV: "text/csv; charset=utf-8",
    JSONL: "application/x-ndjson",
    ARROW: "application/vnd.apache.arrow.file",
}


def dataset(found: Dataset) -> pb.Dataset:
    """The message of a dataset."""
    return pb.Dataset(
        data_id=found.data_id,
        tenant_id=found.tenant_id,
        name=found.name,
        description=found.description,
        labels=found.labels,
        latest_version=found.latest_version,
        last_version=found.last_version,
        created_by=found.created_by,
        create_time=times.timestamp(found.created_at),
        update_time=times.timestamp(found.updated_at),
    )


def version(found: Version) -> pb.DatasetVersion:
    """The message of a version."""
    return pb.DatasetVersion(
        data_id=found.data_id,
        version=found.version,
        state=_STATE[found.state],
        task_id=found.task_id,
        rows=found.rows,
        size=found.size,
        columns=manifests.columns(found.manifest),
        parts=manifests.parts(found.manifest),
        window=manifests.window(found.manifest),
        digest=found.digest,
        source=values.of_json(found.recipe.source, source_pb2.Source(), field="source"),
        pipeline=values.of_json(found.recipe.pipeline, pipeline_pb2.Pipeline(), field="pipeline"),
        facts=manifests.facts(found.manifest),
        report=manifests.report(found.manifest),
        failure=failure(found.failure) if found.failure else None,
        created_by=found.created_by,
        create_time=times.timestamp(found.created_at),
        finish_time=times.timestamp(found.finished_at),
    )


def failure(found: Failure) -> pb.Failure:
    """The message of a failure."""
    return pb.Failure(reason=found.reason, message=found.message)


def upload(found: Upload) -> pb.Upload:
    """The message of an upload."""
    return pb.Upload(
        upload_id=found.upload_id,
        name=found.name,
        format=source_pb2.FileFormat.Value(found.format) if found.format else source_pb2.FILE_FORMAT_UNSPECIFIED,
        size=found.size,
        sha256=found.sha256,
        create_time=times.timestamp(found.created_at),
        expire_time=times.timestamp(found.expires_at),
    )


def new_upload(first: service_pb.UploadFileRequest) -> NewUpload:
    """What the first message of an upload says of it."""
    return NewUpload(
        name=first.name,
        format=format_name(first.format),
        sha256=first.sha256.lower(),
        media_type=first.content.content_type,
    )


async def chunks(
    first: service_pb.UploadFileRequest, requests: AsyncIterator[service_pb.UploadFileRequest]
) -> AsyncIterator[bytes]:
    """The bytes of an upload. Raises ValidationError for a second header."""
    if first.content.data:
        yield first.content.data
    async for request in requests:
        if request.name or request.sha256 or request.format:
            raise ValidationError("after the first message an upload has only content", field="content")
        yield request.content.data


def format_name(number: int) -> str:
    """FILE_FORMAT_CSV and so on; empty for none. Raises ValidationError for a number that is none."""
    if number not in source_pb2.FileFormat.values():
        raise ValidationError(f"{number} is no FileFormat", field="format")
    return source_pb2.FileFormat.Name(number) if number else ""  # type: ignore[arg-type] # checked above


def query(request: service_pb.ListDatasetsRequest) -> DatasetQuery:
    """The page that is asked for, one more than fits. Raises ValidationError for a label that is none."""
    key, separator, value = request.label.partition("=")
    if request.label and (not separator or not key):
        raise ValidationError(f"label {request.label[:80]!r} is not key=value", field="label")
    after = paging.decode_token(request.page_token, filters=_filters(request))
    return DatasetQuery(
        limit=paging.page_size(request.page_size) + 1,
        before=_place(after) if after else None,
        name_contains=request.name_contains,
        label=(key, value) if request.label else None,
    )


def datasets_page(found: Sequence[Dataset], request: service_pb.ListDatasetsRequest) -> service_pb.ListDatasetsResponse:
    """A page, and where the next one begins."""
    limit = paging.page_size(request.page_size)
    page = service_pb.ListDatasetsResponse(datasets=[dataset(each) for each in found[:limit]])
    if len(found) > limit:
        last = found[limit - 1]
        page.next_page_token = paging.encode_token(
            f"{last.updated_at.isoformat()} {last.data_id}", filters=_filters(request)
        )
    return page


def versions_query(request: service_pb.ListDatasetVersionsRequest) -> tuple[int, int | None]:
    """How many, one more than fit, and before which number."""
    after = paging.decode_token(request.page_token, filters=["versions", request.data_id])
    if after is not None and not after.isdigit():
        raise paging.strange_token()
    return paging.page_size(request.page_size) + 1, int(after) if after else None


def versions_page(
    found: Sequence[Version], request: service_pb.ListDatasetVersionsRequest
) -> service_pb.ListDatasetVersionsResponse:
    """A page, and where the next one begins. Versions of thousands of columns may fill it before it has its number."""
    limit, size = paging.page_size(request.page_size), 0
    page = service_pb.ListDatasetVersionsResponse()
    for each in found[:limit]:
        message = version(each)
        size += message.ByteSize()
        if page.versions and size > MAX_PAGE_BYTES:
            break
        page.versions.append(message)
    if len(found) > len(page.versions):
        last = found[len(page.versions) - 1]
        page.next_page_token = paging.encode_token(str(last.version), filters=["versions", request.data_id])
    return page


def preview(found: Mapping[str, Any]) -> service_pb.PreviewDatasetResponse:
    """Rows as lists."""
    rows = []
    for row in found["rows"]:
        values_of_row = ListValue()
        values_of_row.extend(values.plain(row))
        rows.append(values_of_row)
    return service_pb.PreviewDatasetResponse(columns=manifests.columns(found), rows=rows)


def statistics(found: Sequence[Mapping[str, Any]]) -> service_pb.GetStatisticsResponse:
    """One for each column."""
    columns = [values.of_json(each, pb.ColumnStatistics(), field="statistics", lenient=True) for each in found]
    return service_pb.GetStatisticsResponse(columns=columns)


def lineage(found: Lineage) -> service_pb.GetLineageResponse:
    """Both directions."""
    return service_pb.GetLineageResponse(
        upstream=[_node(node) for node in found.upstream], downstream=[_node(node) for node in found.downstream]
    )


def _node(node: Node) -> service_pb.LineageNode:
    return service_pb.LineageNode(kind=node.kind, id=node.id, version=node.version, distance=node.distance)


def _place(after: str) -> tuple[datetime, str]:
    moment, _, data_id = after.partition(" ")
    try:
        return datetime.fromisoformat(moment), data_id
    except ValueError as error:
        raise paging.strange_token() from error


def _filters(request: service_pb.ListDatasetsRequest) -> list[str]:
    return ["datasets", request.name_contains, request.label]
