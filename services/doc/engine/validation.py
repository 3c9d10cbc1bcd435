"""Validation of documents."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from automesh.doc.v1 import validation_service_pb2, validation_service_pb2_grpc
from automesh.mesh.server import Bound
from services.doc.domain.validation.report import Report
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.service.validation_service import ValidationServicer
from services.doc.store.validation import SqlSpaceLinks


@asynccontextmanager
async def open_validation(core: Core) -> AsyncGenerator[Part]:
    """See Part."""
    report = Report(
        core.documents,
        core.branches,
        SqlSpaceLinks(core.outside.database),
        core.directory,
        core.checks,
        lane=core.lane,
        max_bytes=core.options.max_page_bytes,
    )
    yield Part(
        bounds=[
            Bound(
                validation_service_pb2.DESCRIPTOR.services_by_name["ValidationService"],
                validation_service_pb2_grpc.add_ValidationServiceServicer_to_server,
                ValidationServicer(report, core.lane),
            )
        ]
    )
