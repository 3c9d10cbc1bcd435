"""DraftService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.core import paging
from automesh.doc.v1 import draft_service_pb2 as pb
from automesh.doc.v1 import draft_service_pb2_grpc as rpc
from services.doc.convert import drafts as convert
from services.doc.domain.drafts.desk import DraftDesk
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class DraftServicer(rpc.DraftServiceServicer):
    """The front door for drafts: always of the caller alone."""

    def __init__(self, desk: DraftDesk) -> None:
        self._desk = desk

    async def SaveDraft(self, request: pb.SaveDraftRequest, context: Context) -> pb.SaveDraftResponse:
        saved = await self._desk.save(current_person(), convert.new_draft(request))
        return pb.SaveDraftResponse(draft=convert.draft(saved, content=False))

    async def GetDraft(self, request: pb.GetDraftRequest, context: Context) -> pb.GetDraftResponse:
        return pb.GetDraftResponse(draft=convert.draft(await self._desk.get(current_person(), request.draft_id)))

    async def ListDrafts(self, request: pb.ListDraftsRequest, context: Context) -> pb.ListDraftsResponse:
        limit, before = paging.page_size(request.page_size) + 1, convert.before(request)
        return convert.page(await self._desk.list(current_person(), limit=limit, before=before), request)

    async def DeleteDraft(self, request: pb.DeleteDraftRequest, context: Context) -> pb.DeleteDraftResponse:
        await self._desk.delete(current_person(), request.draft_id)
        return pb.DeleteDraftResponse()
