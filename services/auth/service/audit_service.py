"""AuditService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.auth.v1 import audit_service_pb2 as pb
from automesh.auth.v1 import audit_service_pb2_grpc as rpc
from automesh.core import paging
from automesh.mesh.caller import current_caller
from services.auth.convert import (
    event_from_proto,
    event_to_proto,
    filter_from_proto,
    position_from_text,
    position_to_text,
)
from services.auth.domain.audit import AuditLog
from services.auth.service.caller import actor

Context = grpc.aio.ServicerContext[Any, Any]


class AuditServicer(rpc.AuditServiceServicer):
    """The audit log."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def RecordEvents(self, request: pb.RecordEventsRequest, context: Context) -> pb.RecordEventsResponse:
        await self._log.record(current_caller().service, [event_from_proto(event) for event in request.events])
        return pb.RecordEventsResponse()

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, context: Context) -> pb.ListAuditEventsResponse:
        limit = paging.page_size(request.page_size)
        filters = [request.subject, request.resource, request.outcome]
        before = position_from_text(paging.decode_token(request.page_token, filters=filters))
        events = await self._log.list_newest(actor(), filter_from_proto(request), limit=limit + 1, before=before)
        more = len(events) > limit
        token = paging.encode_token(position_to_text(events[limit - 1]), filters=filters) if more else ""
        return pb.ListAuditEventsResponse(events=map(event_to_proto, events[:limit]), next_page_token=token)
