"""DocumentService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.core import paging
from automesh.doc.v1 import document_service_pb2 as pb
from automesh.doc.v1 import document_service_pb2_grpc as rpc
from services.doc.convert import comparisons, cursors
from services.doc.convert import documents as convert
from services.doc.domain.documents.pace import Lane
from services.doc.domain.documents.pages import PageMaker
from services.doc.domain.documents.reader import DocumentReader
from services.doc.domain.documents.writer import DocumentWriter
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MAIN
from services.doc.service.caller import current_person
from services.doc.service.stale import telling_merge

Context = grpc.aio.ServicerContext[Any, Any]


class DocumentServicer(rpc.DocumentServiceServicer):
    """Documents, written, read, compared, brought back."""

    def __init__(
        self,
        writer: DocumentWriter,
        reader: DocumentReader,
        directory: SpaceDirectory,
        pages: PageMaker,
        lane: Lane,
    ) -> None:
        self._writer, self._reader, self._directory, self._pages, self._lane = writer, reader, directory, pages, lane
        self._saving = Lane()

    async def CreateDocument(self, request: pb.CreateDocumentRequest, context: Context) -> pb.CreateDocumentResponse:
        new = convert.new_document(request)
        written = await self._saving.turn(len(request.content), self._writer.create, current_person(), new)
        return pb.CreateDocumentResponse(
            document=convert.document(written.document), findings=convert.findings(written.findings)
        )

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Context) -> pb.GetDocumentResponse:
        found = await self._reader.document(
            current_person(), request.document_id, request.branch or MAIN, request.revision_id
        )
        return pb.GetDocumentResponse(document=convert.document(found))

    async def LookUpDocument(self, request: pb.LookUpDocumentRequest, context: Context) -> pb.LookUpDocumentResponse:
        found = await self._reader.look_up(current_person(), request.space, request.branch or MAIN, request.path)
        return pb.LookUpDocumentResponse(document=convert.document(found))

    async def ListDocuments(self, request: pb.ListDocumentsRequest, context: Context) -> pb.ListDocumentsResponse:
        person = current_person()
        spaces = await self._directory.visible(person, request.space)
        return convert.documents_page(await self._reader.list(person, convert.query(request, spaces)), request)

    async def UpdateDocument(self, request: pb.UpdateDocumentRequest, context: Context) -> pb.UpdateDocumentResponse:
        with telling_merge():
            edit = convert.edit(request)
            return convert.updated(
                await self._saving.turn(len(request.content), self._writer.update, current_person(), edit)
            )

    async def DeleteDocument(self, request: pb.DeleteDocumentRequest, context: Context) -> pb.DeleteDocumentResponse:
        head = await self._writer.delete(
            current_person(), request.document_id, request.branch or MAIN, request.expected_head, request.message
        )
        return pb.DeleteDocumentResponse(document=convert.head(head))

    async def RestoreDocument(self, request: pb.RestoreDocumentRequest, context: Context) -> pb.RestoreDocumentResponse:
        found = await self._writer.restore(current_person(), convert.restore(request))
        return pb.RestoreDocumentResponse(document=convert.document(found))

    async def ListRevisions(self, request: pb.ListRevisionsRequest, context: Context) -> pb.ListRevisionsResponse:
        filters = [request.document_id, request.branch or MAIN, request.author]
        size = paging.page_size(request.page_size)
        found = await self._reader.revisions(
            current_person(),
            request.document_id,
            request.branch or MAIN,
            author=request.author,
            limit=size,
            after=paging.decode_token(request.page_token, filters=filters) or "",
        )
        token = paging.encode_token(found[-1].revision_id, filters=filters) if len(found) == size else ""
        return pb.ListRevisionsResponse(revisions=[convert.revision(each) for each in found], next_page_token=token)

    async def DiffDocument(self, request: pb.DiffDocumentRequest, context: Context) -> pb.DiffDocumentResponse:
        earlier = getattr(request, "from")
        pair = await self._reader.pair(
            current_person(), request.document_id, request.branch or MAIN, earlier, request.to
        )
        return await self._lane.run(len(pair[2]) + len(pair[3]), comparisons.difference, request, pair)

    async def MergeDocument(self, request: pb.MergeDocumentRequest, context: Context) -> pb.MergeDocumentResponse:
        outcome = await self._lane.turn(
            len(request.content),
            self._reader.merge,
            current_person(),
            request.document_id,
            request.branch or MAIN,
            content=request.content if request.HasField("content") else None,
            ours=request.ours,
            theirs=request.theirs,
        )
        return pb.MergeDocumentResponse(merge=convert.merge(outcome))

    async def BlameDocument(self, request: pb.BlameDocumentRequest, context: Context) -> pb.BlameDocumentResponse:
        origins, named, truncated = await self._reader.blame(
            current_person(), request.document_id, request.branch or MAIN, request.revision_id
        )
        return comparisons.blame(origins, named, truncated=truncated)

    async def SearchHistory(self, request: pb.SearchHistoryRequest, context: Context) -> pb.SearchHistoryResponse:
        found, after = await self._reader.search_history(current_person(), comparisons.history_query(request))
        return comparisons.hits(request, found, after)

    async def RenderDocument(self, request: pb.RenderDocumentRequest, context: Context) -> pb.RenderDocumentResponse:
        found = await self._reader.document(
            current_person(), request.document_id, request.branch or MAIN, request.revision_id
        )
        page = await self._pages.render(found, revision_id=request.revision_id)
        return pb.RenderDocumentResponse(
            html=page.html,
            headings=[pb.Heading(level=each.level, text=each.text, anchor=each.anchor) for each in page.headings],
            etag=found.head.revision_id,
        )

    async def ListTrash(self, request: pb.ListTrashRequest, context: Context) -> pb.ListTrashResponse:
        filters, size = [request.space, request.branch or MAIN], paging.page_size(request.page_size)
        found = await self._reader.trash(
            current_person(),
            request.space,
            request.branch or MAIN,
            limit=size,
            before=cursors.before(request.page_token, filters=filters),
        )
        token = ""
        if len(found) == size and (last := found[-1]).deleted_at:
            token = cursors.before_token(last.deleted_at, last.document_id, filters=filters)
        return pb.ListTrashResponse(documents=[convert.head(each) for each in found], next_page_token=token)
