"""ValidationService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.core import paging
from automesh.doc.v1 import validation_service_pb2 as pb
from automesh.doc.v1 import validation_service_pb2_grpc as rpc
from services.doc.convert import validation as convert
from services.doc.domain.documents.pace import Lane
from services.doc.domain.spaces.space import MAIN
from services.doc.domain.validation.catalogue import RULES
from services.doc.domain.validation.report import Report
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class ValidationServicer(rpc.ValidationServiceServicer):
    """What is wrong with documents."""

    def __init__(self, report: Report, lane: Lane) -> None:
        self._report, self._lane = report, lane

    async def CheckDocument(self, request: pb.CheckDocumentRequest, context: Context) -> pb.CheckDocumentResponse:
        where = (request.space, request.branch or MAIN, request.path)
        found = await self._lane.turn(
            len(request.content), self._report.check, current_person(), *where, request.content
        )
        return convert.checked(found)

    async def ListFindings(self, request: pb.ListFindingsRequest, context: Context) -> pb.ListFindingsResponse:
        found, following = await self._report.findings(
            current_person(),
            request.space,
            request.branch or MAIN,
            request.rule,
            limit=paging.page_size(request.page_size),
            after=convert.position(request),
        )
        return convert.findings_page(found, following, request)

    async def ListRules(self, request: pb.ListRulesRequest, context: Context) -> pb.ListRulesResponse:
        return convert.rules(RULES.values())
