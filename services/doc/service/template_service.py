"""TemplateService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.core import paging
from automesh.doc.v1 import template_service_pb2 as pb
from automesh.doc.v1 import template_service_pb2_grpc as rpc
from services.doc.convert import templates as convert
from services.doc.domain.templates.desk import TemplateDesk
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class TemplateServicer(rpc.TemplateServiceServicer):
    """Templates, kept and filled in."""

    def __init__(self, desk: TemplateDesk) -> None:
        self._desk = desk

    async def CreateTemplate(self, request: pb.CreateTemplateRequest, context: Context) -> pb.CreateTemplateResponse:
        made = await self._desk.create(current_person(), convert.new_template(request.template))
        return pb.CreateTemplateResponse(template=convert.template(made))

    async def GetTemplate(self, request: pb.GetTemplateRequest, context: Context) -> pb.GetTemplateResponse:
        found = await self._desk.get(current_person(), request.template_id)
        return pb.GetTemplateResponse(template=convert.template(found))

    async def ListTemplates(self, request: pb.ListTemplatesRequest, context: Context) -> pb.ListTemplatesResponse:
        found = await self._desk.list(
            current_person(),
            request.space,
            limit=paging.page_size(request.page_size),
            after=convert.after(request),
        )
        return convert.templates_page(found, request)

    async def UpdateTemplate(self, request: pb.UpdateTemplateRequest, context: Context) -> pb.UpdateTemplateResponse:
        person, message = current_person(), request.template
        kept = await self._desk.replace(person, message.template_id, convert.new_template(message), message.etag)
        return pb.UpdateTemplateResponse(template=convert.template(kept))

    async def DeleteTemplate(self, request: pb.DeleteTemplateRequest, context: Context) -> pb.DeleteTemplateResponse:
        await self._desk.delete(current_person(), request.template_id)
        return pb.DeleteTemplateResponse()

    async def RenderTemplate(self, request: pb.RenderTemplateRequest, context: Context) -> pb.RenderTemplateResponse:
        found = await self._desk.render(
            current_person(), request.template_id, convert.values(request.values), request.space
        )
        return convert.filled(found)
