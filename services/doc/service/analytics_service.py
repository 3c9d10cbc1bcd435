"""AnalyticsService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody

from automesh.core import paging
from automesh.doc.v1 import analytics_service_pb2 as pb
from automesh.doc.v1 import analytics_service_pb2_grpc as rpc
from services.doc.convert import analytics as convert
from services.doc.domain.analytics.analytics import Analytics
from services.doc.domain.analytics.figures import MAX_ENTRIES, Asked
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class AnalyticsServicer(rpc.AnalyticsServiceServicer):
    """The front door for figures."""

    def __init__(self, analytics: Analytics) -> None:
        self._analytics = analytics

    async def RecordView(self, request: pb.RecordViewRequest, context: Context) -> pb.RecordViewResponse:
        await self._analytics.record_view(current_person(), request.document_id, request.confirmed_revision)
        return pb.RecordViewResponse()

    async def RecordClick(self, request: pb.RecordClickRequest, context: Context) -> pb.RecordClickResponse:
        await self._analytics.record_click(current_person(), request.search_id, request.document_id, request.rank)
        return pb.RecordClickResponse()

    async def GetSpaceStatistics(
        self, request: pb.GetSpaceStatisticsRequest, context: Context
    ) -> pb.GetSpaceStatisticsResponse:
        asked = Asked(days=request.days, entries=request.page_size)
        return convert.figures(await self._analytics.figures(current_person(), request.space, asked))

    async def ExportStatistics(self, request: pb.ExportStatisticsRequest, context: Context) -> HttpBody:
        asked = Asked(days=request.days, entries=MAX_ENTRIES)
        found = await self._analytics.figures(current_person(), request.space, asked)
        content_type, data = convert.file(found, request.format)
        return HttpBody(content_type=content_type, data=data)

    async def ListReaders(self, request: pb.ListReadersRequest, context: Context) -> pb.ListReadersResponse:
        limit, before = paging.page_size(request.page_size) + 1, convert.before(request)
        head, found = await self._analytics.readers(current_person(), request.document_id, limit=limit, before=before)
        return convert.readers(head, found, request)
