"""Analytics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from automesh.core.errors import AutomationError
from automesh.doc.v1 import analytics_service_pb2, analytics_service_pb2_grpc
from automesh.mesh.server import Bound
from services.doc.domain.analytics.analytics import Analytics, Stores
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.loops.analytics import AnalyticsRollUp, AnalyticsWriter, Forgetting
from services.doc.service.analytics_service import AnalyticsServicer
from services.doc.store.figures import SqlFiguresStore
from services.doc.store.rollup import SqlRollUp

WRITE_EVERY_S, LAST_WRITE_S = 1.0, 2.0


@asynccontextmanager
async def open_analytics(core: Core) -> AsyncGenerator[Part]:
    """See Part. What waits in memory at the end is written."""
    options, database = core.options, core.outside.database
    store = SqlRollUp(database)
    rollup = AnalyticsRollUp(
        store,
        clock=options.clock,
        searches_for=timedelta(seconds=options.keep_searches_s),
        days_for=timedelta(days=options.keep_days),
        every_s=options.roll_up_every_s,
    )
    forgetting = Forgetting(store, every_s=options.clean_every_s)
    writer = AnalyticsWriter(core.recorder, every_s=WRITE_EVERY_S)
    try:
        yield Part(
            bounds=[
                Bound(
                    analytics_service_pb2.DESCRIPTOR.services_by_name["AnalyticsService"],
                    analytics_service_pb2_grpc.add_AnalyticsServiceServicer_to_server,
                    AnalyticsServicer(_analytics(core)),
                )
            ],
            loops={"analytics": writer.step, "roll up analytics": rollup.step, "forget readers": forgetting.step},
        )
    finally:
        with suppress(AutomationError, TimeoutError):
            async with asyncio.timeout(LAST_WRITE_S):
                while await core.recorder.write():
                    pass


def _analytics(core: Core) -> Analytics:
    stores = Stores(
        views=core.views,
        searches=core.searches,
        figures=SqlFiguresStore(core.outside.database),
        documents=core.documents,
    )
    return Analytics(stores, core.recorder, core.reader, core.directory, clock=core.options.clock)
