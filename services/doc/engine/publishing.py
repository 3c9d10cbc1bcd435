"""Sites: built, switched to, served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog

from automesh.doc.v1 import site_service_pb2, site_service_pb2_grpc
from automesh.mesh.loops import Step, keep_running
from automesh.mesh.server import Bound
from automesh.storage.fanout import Subscription
from automesh.web.server import serving
from services.doc.clients.site_program import SiteProgram
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.publishing.addresses import SiteAddresses
from services.doc.domain.publishing.building import Ground, ReleaseMaker
from services.doc.domain.publishing.links import LinkKeys
from services.doc.domain.publishing.publisher import SitePublisher
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.loops.publishing import AutoPublish, Publishing, SiteCleaning
from services.doc.service.site_service import SiteServicer
from services.doc.store.published import SqlPublishedSites
from services.doc.store.site_changes import SqlAutoPublishing
from services.doc.store.site_contents import SqlSiteContents
from services.doc.store.site_queue import SqlReleaseQueue
from services.doc.store.site_sources import SqlSiteSources
from services.doc.store.sites import SqlSiteStore
from services.doc.web.listener import SiteListener
from services.doc.web.shelf import Shelf

log = structlog.get_logger(__name__)

CHANNEL = "doc.sites"
LEASE_S = 20.0
"""A build whose process has died is taken over after so long."""
LONGEST_S = 30.0
"""Changes of a site that publishes by itself are published so long after the first of them in any case."""


@asynccontextmanager
async def open_publishing(core: Core) -> AsyncGenerator[Part]:
    """See Part. The listener takes connections while the part is open."""
    options, database = core.options, core.outside.database
    addresses = SiteAddresses(options.site_url, options.site_preview_url)
    keys = LinkKeys(core.outside.sealer, options.clock, ttl=timedelta(seconds=options.site_link_ttl_s))
    contents = SqlSiteContents(database, core.outside.sealer, core.outside.blobs, options.make_id)
    program = SiteProgram(
        options.scratch / "sites", limit_s=options.site_build_limit_s, memory=options.site_build_memory_bytes
    )
    await asyncio.to_thread(program.clear)
    publisher = SitePublisher(
        SqlSiteStore(database),
        core.branches,
        core.directory,
        doorbell=core.site_bell,
        addresses=addresses,
        keys=keys,
        make_id=options.make_id,
    )
    async with AsyncExitStack() as stack:
        if options.site_listen is not None:
            shelf = Shelf(SqlPublishedSites(database, contents))
            listener = SiteListener(
                shelf, addresses, keys, core.page_views, trust_forwarded=options.site_trust_forwarded
            )
            hints = await stack.enter_async_context(core.outside.fanout.subscribe(CHANNEL))
            stack.push_async_callback(_stopping(_refreshing(shelf, core.site_bell, hints)))
            await stack.enter_async_context(serving(listener, options.site_listen))
            log.info("serving sites", url=options.site_url)
        yield Part(
            bounds=[
                Bound(
                    site_service_pb2.DESCRIPTOR.services_by_name["SiteService"],
                    site_service_pb2_grpc.add_SiteServiceServicer_to_server,
                    SiteServicer(publisher),
                )
            ],
            loops=_loops(core, program, contents, addresses),
        )


def _loops(core: Core, program: SiteProgram, contents: SqlSiteContents, addresses: SiteAddresses) -> Mapping[str, Step]:
    options, database = core.options, core.outside.database
    queue = SqlReleaseQueue(database)
    ground = Ground(
        queue=queue,
        sources=SqlSiteSources(database),
        texts=core.documents,
        attachments=core.attachment_store,
        shelf=core.attachments,
        builder=program,
        contents=contents,
        addresses=addresses,
    )
    maker = ReleaseMaker(ground, lease_s=LEASE_S)
    publishing = Publishing(maker, core.site_bell, _telling(core), poll_every_s=options.poll_every_s)
    auto = AutoPublish(
        SqlAutoPublishing(database, options.make_id),
        core.site_bell,
        quiet_s=options.site_quiet_s,
        longest_s=LONGEST_S,
        poll_every_s=options.poll_every_s,
    )
    cleaning = SiteCleaning(queue, contents, every_s=options.clean_every_s)
    return {"publish": publishing.step, "auto-publish": auto.step, "clean up sites": cleaning.step}


def _telling(core: Core) -> Callable[[], Awaitable[None]]:
    async def told() -> None:
        await core.outside.fanout.publish(CHANNEL, b"changed")

    return told


def _refreshing(shelf: Shelf, doorbell: Doorbell, hints: Subscription) -> list[asyncio.Task[None]]:
    """Forgets what is shown whenever something may have changed, here or in another process."""

    async def here() -> None:
        rung = doorbell.rung
        shelf.forget()
        await doorbell.wait(rung, 3600.0)

    async def elsewhere() -> None:
        await hints.get(3600.0)
        shelf.forget()

    return [asyncio.create_task(keep_running(f"refresh sites {step.__name__}", step)) for step in (here, elsewhere)]


def _stopping(tasks: list[asyncio.Task[None]]) -> Callable[[], Awaitable[None]]:
    async def stop() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return stop
