"""SearchService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.doc.v1 import search_service_pb2 as pb
from automesh.doc.v1 import search_service_pb2_grpc as rpc
from services.doc.convert import search as convert
from services.doc.domain.search.search import DocumentSearch
from services.doc.domain.search.suggest import Suggestions
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class SearchServicer(rpc.SearchServiceServicer):
    """For people."""

    def __init__(self, search: DocumentSearch, suggestions: Suggestions) -> None:
        self._search, self._suggestions = search, suggestions

    async def SearchDocuments(self, request: pb.SearchDocumentsRequest, context: Context) -> pb.SearchDocumentsResponse:
        asked = convert.request(request)
        answer = await self._search.search(current_person(), asked)
        return convert.response(request, asked, answer)

    async def SuggestQueries(self, request: pb.SuggestQueriesRequest, context: Context) -> pb.SuggestQueriesResponse:
        limit = convert.suggestions(request.page_size)
        found = await self._suggestions.suggest(current_person(), request.prefix, request.space, limit)
        return pb.SuggestQueriesResponse(suggestions=[convert.suggestion(each) for each in found])

    async def GetIndexStatus(self, request: pb.GetIndexStatusRequest, context: Context) -> pb.GetIndexStatusResponse:
        return convert.status(*await self._search.status(current_person()))
