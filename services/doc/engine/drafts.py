"""Drafts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from automesh.doc.v1 import draft_service_pb2, draft_service_pb2_grpc
from automesh.mesh.server import Bound
from services.doc.domain.drafts.desk import DraftDesk
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.loops.attachments import DraftHousekeeping
from services.doc.service.draft_service import DraftServicer
from services.doc.store.drafts import SqlDraftStore


@asynccontextmanager
async def open_drafts(core: Core) -> AsyncGenerator[Part]:
    """See Part."""
    options = core.options
    store = SqlDraftStore(core.outside.database, core.outside.sealer)
    desk = DraftDesk(store, core.directory, max_bytes=options.max_page_bytes, most=options.max_drafts)
    housekeeping = DraftHousekeeping(
        store, keep_for=timedelta(seconds=options.draft_ttl_s), every_s=options.clean_every_s
    )
    yield Part(
        bounds=[
            Bound(
                draft_service_pb2.DESCRIPTOR.services_by_name["DraftService"],
                draft_service_pb2_grpc.add_DraftServiceServicer_to_server,
                DraftServicer(desk),
            )
        ],
        loops={"drafts": housekeeping.step},
    )
