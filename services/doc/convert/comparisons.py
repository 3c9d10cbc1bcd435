"""Messages of diffs, blames and the search in history."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.doc.v1 import document_pb2
from automesh.doc.v1 import document_service_pb2 as pb
from automesh.mesh import times
from services.doc.convert.documents import revision
from services.doc.domain.documents import diff
from services.doc.domain.documents.blame import Origin
from services.doc.domain.documents.diff import Row, RowKind, Span
from services.doc.domain.documents.document import Revision
from services.doc.domain.documents.history import HistoryHit, HistoryQuery

MAX_CONTEXT = 1000
MAX_HITS = 200
_KIND = {
    RowKind.EQUAL: pb.ROW_KIND_EQUAL,
    RowKind.ADDED: pb.ROW_KIND_ADDED,
    RowKind.REMOVED: pb.ROW_KIND_REMOVED,
    RowKind.CHANGED: pb.ROW_KIND_CHANGED,
    RowKind.GAP: pb.ROW_KIND_GAP,
}


def difference(request: pb.DiffDocumentRequest, pair: tuple[str, str, str, str]) -> pb.DiffDocumentResponse:
    """Of ids and contents of two revisions. Takes some time for large texts: call it in a thread."""
    old_id, new_id, old, new = pair
    context = _context(request)
    counted = diff.counts(old, new)
    message = pb.DiffDocumentResponse(to=new_id, lines_added=counted.added, lines_removed=counted.removed)
    setattr(message, "from", old_id)
    if request.format in {pb.DIFF_FORMAT_UNSPECIFIED, pb.DIFF_FORMAT_UNIFIED}:
        message.unified = diff.unified(old, new, left_name=old_id or "/dev/null", right_name=new_id, context=context)
    elif request.format in {pb.DIFF_FORMAT_SIDE_BY_SIDE, pb.DIFF_FORMAT_WORDS}:
        words = request.format == pb.DIFF_FORMAT_WORDS
        message.rows.extend(_row(each) for each in diff.rows(old, new, words=words, context=context))
    else:
        raise ValidationError(f"there is no format {request.format}", field="format")
    return message


def blame(origins: Sequence[Origin], named: Sequence[Revision], *, truncated: bool) -> pb.BlameDocumentResponse:
    """Ranges of lines, and the revisions they came from."""
    return pb.BlameDocumentResponse(
        ranges=[pb.BlameRange(line=each.line, count=each.count, revision_id=each.revision_id) for each in origins],
        revisions=[revision(each) for each in named],
        truncated=truncated,
    )


def history_query(request: pb.SearchHistoryRequest) -> HistoryQuery:
    """What somebody looks for. Raises ValidationError."""
    return HistoryQuery(
        text=request.text,
        space=request.space,
        document_id=request.document_id,
        ignore_case=request.ignore_case,
        since=times.moment(request.since, field="since") if request.HasField("since") else None,
        limit=min(paging.page_size(request.page_size), MAX_HITS),
        after=paging.decode_token(request.page_token, filters=_filters(request)) or "",
    )


def hits(request: pb.SearchHistoryRequest, found: Sequence[HistoryHit], after: str) -> pb.SearchHistoryResponse:
    """A page, and where to go on."""
    return pb.SearchHistoryResponse(
        hits=[
            pb.HistoryHit(revision=revision(each.revision), before=each.before, after=each.after, line=each.line)
            for each in found
        ],
        next_page_token=paging.encode_token(after, filters=_filters(request)) if after else "",
    )


def _row(row: Row) -> pb.DiffRow:
    return pb.DiffRow(
        kind=_KIND[row.kind],
        left_line=row.left_line,
        left=row.left,
        right_line=row.right_line,
        right=row.right,
        left_changes=[_span(each) for each in row.left_changes],
        right_changes=[_span(each) for each in row.right_changes],
    )


def _span(span: Span) -> document_pb2.Span:
    return document_pb2.Span(start=span.start, end=span.end)


def _context(request: pb.DiffDocumentRequest) -> int:
    context = request.context if request.HasField("context") else 3
    if not 0 <= context <= MAX_CONTEXT:
        raise ValidationError(f"context {context} is not between 0 and {MAX_CONTEXT}", field="context")
    return context


def _filters(request: pb.SearchHistoryRequest) -> object:
    return [request.text, request.space, request.document_id, request.ignore_case, str(request.since)]
