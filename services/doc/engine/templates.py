"""Templates: documents to begin with."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from automesh.doc.v1 import template_service_pb2, template_service_pb2_grpc
from automesh.mesh.server import Bound
from services.doc.clients.templating import RenderLimits, TemplateWorkers
from services.doc.domain.templates.desk import TemplateDesk
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.service.template_service import TemplateServicer
from services.doc.store.templates import SqlTemplateStore

WORKERS = 2
"""Templates that are filled in at once."""


@asynccontextmanager
async def open_templates(core: Core) -> AsyncGenerator[Part]:
    """See Part."""
    options = core.options
    limits = RenderLimits(output=options.max_page_bytes)
    async with TemplateWorkers.open(limits, size=WORKERS, warm=options.warm_templates) as workers:
        desk = TemplateDesk(
            SqlTemplateStore(core.outside.database, core.outside.sealer),
            workers,
            core.directory,
            make_id=options.make_id,
            clock=options.clock,
            max_bytes=options.max_page_bytes,
        )
        yield Part(
            bounds=[
                Bound(
                    template_service_pb2.DESCRIPTOR.services_by_name["TemplateService"],
                    template_service_pb2_grpc.add_TemplateServiceServicer_to_server,
                    TemplateServicer(desk),
                )
            ]
        )
