"""Spaces, documents, branches."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from automesh.doc.v1 import (
    branch_service_pb2,
    branch_service_pb2_grpc,
    document_service_pb2,
    document_service_pb2_grpc,
    space_service_pb2,
    space_service_pb2_grpc,
)
from automesh.mesh.server import Bound
from services.doc.domain.branches.branches import Branches
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.loops.housekeeping import Housekeeping
from services.doc.service.branch_service import BranchServicer
from services.doc.service.document_service import DocumentServicer
from services.doc.service.space_service import SpaceServicer


@asynccontextmanager
async def open_documents(core: Core) -> AsyncGenerator[Part]:
    """See Part."""
    housekeeping = Housekeeping(core.documents, core.changes, every_s=core.options.clean_every_s)
    yield Part(
        bounds=[
            Bound(
                space_service_pb2.DESCRIPTOR.services_by_name["SpaceService"],
                space_service_pb2_grpc.add_SpaceServiceServicer_to_server,
                SpaceServicer(core.directory),
            ),
            Bound(
                document_service_pb2.DESCRIPTOR.services_by_name["DocumentService"],
                document_service_pb2_grpc.add_DocumentServiceServicer_to_server,
                DocumentServicer(core.writer, core.reader, core.directory, core.pages, core.lane),
            ),
            Bound(
                branch_service_pb2.DESCRIPTOR.services_by_name["BranchService"],
                branch_service_pb2_grpc.add_BranchServiceServicer_to_server,
                BranchServicer(Branches(core.branches, core.documents, core.directory)),
            ),
        ],
        loops={"housekeeping": housekeeping.step},
    )
