"""Analytics as messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time

from google.protobuf.json_format import MessageToJson

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.doc.v1 import analytics_service_pb2 as pb
from automesh.mesh import times
from services.doc.domain.analytics.export import to_csv
from services.doc.domain.analytics.figures import DocumentCount, Figures, QueryCount, Reader
from services.doc.domain.documents.document import Head


def figures(found: Figures) -> pb.GetSpaceStatisticsResponse:
    """The answer with all of them."""
    return pb.GetSpaceStatisticsResponse(
        days=[
            pb.DayCount(
                day=each.day.isoformat(),
                views=each.views,
                robot_views=each.robot_views,
                searches=each.searches,
                edits=each.edits,
            )
            for each in found.days
        ],
        most_read=_documents(found.most_read),
        most_edited=_documents(found.most_edited),
        without_results=_queries(found.without_results),
        without_clicks=_queries(found.without_clicks),
        stale=[
            pb.StalePage(
                document_id=each.document_id,
                path=each.path,
                title=each.title,
                owner=each.owner,
                update_time=times.timestamp(each.updated_at),
                due_time=times.timestamp(each.due_at),
            )
            for each in found.stale
        ],
        broken_links=_documents(found.broken_links),
        documents=found.documents,
    )


def file(found: Figures, file_format: str) -> tuple[str, bytes]:
    """Media type and bytes. Raises ValidationError for a format that is none."""
    if file_format in {"", "csv"}:
        return "text/csv; charset=utf-8", to_csv(found).encode()
    if file_format == "json":
        text = MessageToJson(
            figures(found), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return "application/json", text.encode()
    raise ValidationError(f"format {file_format[:20]!r} is neither csv nor json", field="format")


def before(request: pb.ListReadersRequest) -> tuple[date, str] | None:
    """Where the page before ended."""
    after = paging.decode_token(request.page_token, filters=_filters(request))
    if after is None:
        return None
    day, _, user = after.partition(" ")
    try:
        return date.fromisoformat(day), user
    except ValueError as error:
        raise paging.strange_token() from error


def readers(head: Head, found: Sequence[Reader], request: pb.ListReadersRequest) -> pb.ListReadersResponse:
    """A page of what was found, one more than fits if there are more."""
    size, token = paging.page_size(request.page_size), ""
    if len(found) > size:
        last = found[size - 1]
        token = paging.encode_token(f"{last.last_day.isoformat()} {last.user}", filters=_filters(request))
    return pb.ListReadersResponse(readers=[_reader(head, each) for each in found[:size]], next_page_token=token)


def _reader(head: Head, found: Reader) -> pb.Reader:
    return pb.Reader(
        user=found.user,
        last_time=times.timestamp(datetime.combine(found.last_day, time(), UTC)),
        confirmed_revision=found.confirmed_revision,
        outdated=found.confirmed_revision not in {"", head.revision_id},
    )


def _filters(request: pb.ListReadersRequest) -> list[str]:
    return ["readers", request.document_id]


def _documents(found: Sequence[DocumentCount]) -> list[pb.DocumentCount]:
    return [
        pb.DocumentCount(document_id=each.document_id, path=each.path, title=each.title, count=each.count)
        for each in found
    ]


def _queries(found: Sequence[QueryCount]) -> list[pb.QueryCount]:
    return [pb.QueryCount(query=each.query, count=each.count) for each in found]
