"""Search: the index of this replica, the one in the database that stands by, and what keeps them in step."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from automesh.doc.v1 import search_service_pb2, search_service_pb2_grpc
from automesh.mesh.server import Bound
from services.doc.domain.search.answers import Answers
from services.doc.domain.search.following import IndexFollower, PageReader
from services.doc.domain.search.planner import Planner
from services.doc.domain.search.ports import SearchIndex
from services.doc.domain.search.search import DocumentSearch
from services.doc.domain.search.suggest import Suggestions
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.loops.index_feed import IndexFeed
from services.doc.service.search_service import SearchServicer
from services.doc.store.search_index import PostgresIndex
from services.doc.store.search_sources import SqlSources


@asynccontextmanager
async def open_search(core: Core) -> AsyncGenerator[Part]:
    """See Part."""
    stored = PostgresIndex(core.outside.database, core.outside.sealer)
    if core.options.search_engine == "postgres":
        yield _part(core, stored, None)
        return
    from services.doc.search.tantivy_index import TantivyIndex  # noqa: PLC0415 - large: only where it is chosen

    async with TantivyIndex.open(core.options.scratch / "search", core.doorbell.ring) as index:
        yield _part(core, index, stored)


def _part(core: Core, index: SearchIndex, standby: SearchIndex | None) -> Part:
    answers = Answers(core.outside.cache)
    search = DocumentSearch(
        index,
        standby,
        core.directory,
        core.changes,
        planner=Planner(None),
        answers=answers,
        log=lambda: core.search_log,
        make_id=core.options.make_id,
    )
    reader, sources = PageReader(core.documents), SqlSources(core.outside.database)
    feed = IndexFeed(
        IndexFollower(index, core.changes, core.documents, sources, reader),
        core.doorbell,
        poll_every_s=core.options.poll_every_s,
    )
    loops = {"search-follow": feed.follow, "search-build": feed.build}
    if core.outside.cache.shared:
        loops["search-share"] = answers.share
    if standby is not None:
        spare = IndexFeed(
            IndexFollower(standby, core.changes, core.documents, sources, reader),
            core.doorbell,
            poll_every_s=core.options.search_standby_every_s,
            rest_s=core.options.search_standby_every_s,
            first=index,
        )
        loops |= {"search-standby-follow": spare.follow, "search-standby-build": spare.build}
    bound = Bound(
        search_service_pb2.DESCRIPTOR.services_by_name["SearchService"],
        search_service_pb2_grpc.add_SearchServiceServicer_to_server,
        SearchServicer(search, Suggestions(index, standby, core.directory)),
    )
    return Part(bounds=[bound], loops=loops)
