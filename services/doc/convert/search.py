"""Messages of search and the domain."""

from __future__ import annotations

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.doc.v1 import document_pb2
from automesh.doc.v1 import search_service_pb2 as pb
from automesh.mesh import times
from services.doc.convert import cursors
from services.doc.domain.search import suggest
from services.doc.domain.search.answer import Answer, Result
from services.doc.domain.search.fusion import POOL
from services.doc.domain.search.plan import IndexStatus
from services.doc.domain.search.question import SearchRequest

PAGE, MAX_PAGE = 10, 100
SUGGESTIONS, MAX_SUGGESTIONS = 8, 20


def request(message: pb.SearchDocumentsRequest) -> SearchRequest:
    """Raises ValidationError."""
    after = cursors.count(message.page_token, filters=_filters(message))
    if after is not None and after[0] >= POOL:
        raise paging.strange_token()
    return SearchRequest(
        query=message.query,
        space=message.space,
        tag=message.tag,
        author=message.author,
        since=times.moment(message.changed_since, field="changed_since") if message.HasField("changed_since") else None,
        before=times.moment(message.changed_before, field="changed_before")
        if message.HasField("changed_before")
        else None,
        offset=after[0] if after else 0,
        limit=size(message.page_size, PAGE, MAX_PAGE),
    )


def response(message: pb.SearchDocumentsRequest, asked: SearchRequest, answer: Answer) -> pb.SearchDocumentsResponse:
    """With the token of the next page."""
    after = asked.offset + asked.limit
    return pb.SearchDocumentsResponse(
        results=[_result(each) for each in answer.results],
        next_page_token=cursors.count_token(after, filters=_filters(message)) if answer.more else "",
        corrections=answer.corrections,
        search_id=answer.search_id,
    )


def suggestion(found: suggest.Suggestion) -> pb.Suggestion:
    """A title or a word."""
    title = found.title
    if title is None:
        return pb.Suggestion(text=found.text)
    return pb.Suggestion(text=found.text, document_id=title.document_id, space=title.space, path=title.path)


def status(found: IndexStatus, latest: int) -> pb.GetIndexStatusResponse:
    """How far the index is."""
    return pb.GetIndexStatusResponse(
        engine=found.engine,
        sequence=found.sequence,
        latest_sequence=latest,
        rebuilding=found.rebuilding,
        sections=found.sections,
    )


def suggestions(asked: int) -> int:
    """How many, at most."""
    return size(asked, SUGGESTIONS, MAX_SUGGESTIONS)


def size(asked: int, usual: int, most: int) -> int:
    """0 means the usual number, more than most means most. Raises ValidationError for a negative one."""
    if asked < 0:
        raise ValidationError(f"page_size {asked} is negative", field="page_size")
    return min(asked or usual, most)


def _result(found: Result) -> pb.SearchResult:
    hit = found.hit
    return pb.SearchResult(
        document_id=hit.document_id,
        space=hit.space,
        path=hit.path,
        title=hit.title,
        section=hit.heading,
        anchor=hit.anchor,
        snippet=found.snippet.text,
        marks=[document_pb2.Span(start=start, end=end) for start, end in found.snippet.marks],
        score=hit.score,
        update_time=times.timestamp(hit.changed_at),
        tags=hit.tags,
    )


def _filters(message: pb.SearchDocumentsRequest) -> list[object]:
    since, before = message.changed_since, message.changed_before
    return [message.query, message.space, message.tag, message.author, str(since), str(before)]
