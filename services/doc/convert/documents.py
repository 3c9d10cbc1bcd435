"""Messages of documents and the domain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.struct_pb2 import Struct

from automesh.core import paging
from automesh.doc.v1 import document_pb2 as pb
from automesh.doc.v1 import document_service_pb2 as service_pb
from automesh.mesh import times
from services.doc.domain.documents import front_matter
from services.doc.domain.documents.document import Change, Document, DocumentQuery, Head, Revision
from services.doc.domain.documents.merge import Conflict
from services.doc.domain.documents.merging import MergeOutcome, StaleWrite
from services.doc.domain.documents.path import folder_prefix
from services.doc.domain.documents.requests import Edit, NewDocument, Restore, Written
from services.doc.domain.spaces.space import MAIN
from services.doc.domain.validation.checks import Finding

CHANGE = {
    Change.CREATE: pb.CHANGE_CREATE,
    Change.EDIT: pb.CHANGE_EDIT,
    Change.RENAME: pb.CHANGE_RENAME,
    Change.DELETE: pb.CHANGE_DELETE,
    Change.RESTORE: pb.CHANGE_RESTORE,
    Change.MERGE: pb.CHANGE_MERGE,
}


def head(found: Head) -> pb.Document:
    """The message of a document without its content."""
    return pb.Document(
        document_id=found.document_id,
        space=found.space,
        branch=found.branch,
        path=found.path,
        title=found.title,
        head=found.revision_id,
        tags=found.tags,
        owner=found.owner,
        size=found.size,
        sha256=found.sha256,
        create_time=times.timestamp(found.created_at),
        update_time=times.timestamp(found.updated_at),
        created_by=found.created_by,
        updated_by=found.updated_by,
        delete_time=times.timestamp(found.deleted_at),
        etag=found.revision_id,
    )


def document(found: Document) -> pb.Document:
    """The message of a document."""
    message = head(found.head)
    message.content = found.content
    values = Struct()
    values.update(dict(front_matter.read(found.content).values))
    message.front_matter.CopyFrom(values)
    return message


def revision(found: Revision) -> pb.Revision:
    """The message of a revision."""
    return pb.Revision(
        revision_id=found.revision_id,
        document_id=found.document_id,
        parents=found.parents,
        branch=found.branch,
        change=CHANGE[found.change],
        path=found.path,
        title=found.title,
        author=found.author,
        co_authors=found.co_authors,
        message=found.message,
        create_time=times.timestamp(found.created_at),
        size=found.size,
        sha256=found.sha256,
        lines_added=found.lines_added,
        lines_removed=found.lines_removed,
    )


def finding(found: Finding, *, document_id: str = "", path: str = "") -> pb.Finding:
    """The message of a finding."""
    return pb.Finding(
        rule=found.rule,
        level=found.level,
        line=found.line,
        column=found.column,
        message=found.message,
        document_id=document_id,
        path=path,
    )


def findings(found: Iterable[Finding]) -> list[pb.Finding]:
    """Of one document."""
    return [finding(each) for each in found]


def merge(outcome: MergeOutcome) -> pb.Merge:
    """The message of a merge."""
    return pb.Merge(
        base=outcome.base,
        ours=outcome.ours,
        theirs=outcome.theirs,
        content=outcome.content,
        conflicts=[_conflict(each) for each in outcome.conflicts],
    )


def stale_write(error: StaleWrite, most_bytes: int) -> pb.StaleWrite:
    """The detail of a write that came too late; without texts when they take more than so many bytes."""
    message = pb.StaleWrite(
        document_id=error.head.document_id,
        expected_head=error.expected,
        head=error.head.revision_id,
        author=error.head.updated_by,
        time=times.timestamp(error.head.updated_at),
        merge=merge(error.outcome),
    )
    if message.ByteSize() > most_bytes:
        del message.merge.conflicts[:]
        message.merge.content = ""
        message.merge.content_omitted = True
        lines = [pb.Conflict(line=each.line) for each in error.outcome.conflicts]
        message.merge.conflicts.extend(lines[: most_bytes // 16])
    return message


def new_document(request: service_pb.CreateDocumentRequest) -> NewDocument:
    """What somebody wants to make."""
    return NewDocument(
        space=request.space,
        branch=request.branch or MAIN,
        path=request.path,
        content=request.content,
        title=request.title,
        message=request.message,
        request_id=request.request_id,
    )


def edit(request: service_pb.UpdateDocumentRequest) -> Edit:
    """What somebody wants to write."""
    return Edit(
        document_id=request.document_id,
        expected=request.expected_head,
        branch=request.branch or MAIN,
        content=request.content if request.HasField("content") else None,
        path=request.path,
        message=request.message,
        merged=request.merged_revision,
        merge_if_clean=request.merge_if_clean,
        request_id=request.request_id,
    )


def restore(request: service_pb.RestoreDocumentRequest) -> Restore:
    """What somebody wants back."""
    return Restore(
        document_id=request.document_id,
        expected=request.expected_head,
        branch=request.branch or MAIN,
        revision_id=request.revision_id,
        path=request.path,
        message=request.message,
    )


def updated(written: Written) -> service_pb.UpdateDocumentResponse:
    """What became of a write."""
    return service_pb.UpdateDocumentResponse(
        document=document(written.document), findings=findings(written.findings), merged=written.merged
    )


def query(request: service_pb.ListDocumentsRequest, spaces: Sequence[str]) -> DocumentQuery:
    """What somebody wants listed. Raises ValidationError."""
    after = paging.decode_token(request.page_token, filters=_filters(request))
    space, _, path = after.partition("\n") if after is not None else ("", "", "")
    return DocumentQuery(
        spaces=spaces,
        branch=request.branch or MAIN,
        prefix=folder_prefix(request.prefix),
        tag=request.tag,
        owner=request.owner,
        limit=paging.page_size(request.page_size),
        after=(space, path) if after is not None else None,
    )


def documents_page(found: Sequence[Head], request: service_pb.ListDocumentsRequest) -> service_pb.ListDocumentsResponse:
    """A page by space and path."""
    token = ""
    if len(found) == paging.page_size(request.page_size):
        token = paging.encode_token(f"{found[-1].space}\n{found[-1].path}", filters=_filters(request))
    return service_pb.ListDocumentsResponse(documents=[head(each) for each in found], next_page_token=token)


def _conflict(found: Conflict) -> pb.Conflict:
    return pb.Conflict(line=found.line, base=found.base, ours=found.ours, theirs=found.theirs)


def _filters(request: service_pb.ListDocumentsRequest) -> object:
    return [request.space, request.branch or MAIN, request.prefix, request.tag, request.owner]
