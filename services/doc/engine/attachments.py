"""Attachments."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from automesh.doc.v1 import attachment_service_pb2, attachment_service_pb2_grpc
from automesh.mesh.server import Bound
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.loops.attachments import AttachmentHousekeeping
from services.doc.service.attachment_service import AttachmentServicer


@asynccontextmanager
async def open_attachments(core: Core) -> AsyncGenerator[Part]:
    """See Part."""
    housekeeping = AttachmentHousekeeping(core.attachments, every_s=core.options.clean_every_s)
    yield Part(
        bounds=[
            Bound(
                attachment_service_pb2.DESCRIPTOR.services_by_name["AttachmentService"],
                attachment_service_pb2_grpc.add_AttachmentServiceServicer_to_server,
                AttachmentServicer(core.attachments),
            )
        ],
        loops={"attachments": housekeeping.step},
    )
