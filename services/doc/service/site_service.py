"""SiteService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from automesh.doc.v1 import site_service_pb2 as pb
from automesh.doc.v1 import site_service_pb2_grpc as rpc
from services.doc.convert import sites as convert
from services.doc.domain.publishing.publisher import MAX_WAIT_S, SitePublisher
from services.doc.domain.spaces.space import MAIN
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]
MARGIN_S = 0.5
"""An answer must be on its way so long before the deadline of its call."""


class SiteServicer(rpc.SiteServiceServicer):
    """Sites of spaces."""

    def __init__(self, publisher: SitePublisher) -> None:
        self._publisher, self._addresses = publisher, publisher.addresses

    async def PublishSite(self, request: pb.PublishSiteRequest, context: Context) -> pb.PublishSiteResponse:
        left = context.time_remaining()
        release = await self._publisher.publish(
            current_person(),
            request.space,
            request.branch or MAIN,
            preview=request.preview,
            message=request.message,
            request_id=request.request_id,
            wait_s=min(convert.wait_s(request), MAX_WAIT_S if left is None else left - MARGIN_S),
        )
        return pb.PublishSiteResponse(release=convert.release(release, self._addresses))

    async def RollBackSite(self, request: pb.RollBackSiteRequest, context: Context) -> pb.RollBackSiteResponse:
        release, site = await self._publisher.roll_back(
            current_person(), request.space, request.release_id, request.reason
        )
        return pb.RollBackSiteResponse(
            release=convert.release(release, self._addresses), site=convert.site(site, self._addresses)
        )

    async def ResumeAutoPublish(
        self, request: pb.ResumeAutoPublishRequest, context: Context
    ) -> pb.ResumeAutoPublishResponse:
        site = await self._publisher.resume(current_person(), request.space)
        return pb.ResumeAutoPublishResponse(site=convert.site(site, self._addresses))

    async def UnpublishSite(self, request: pb.UnpublishSiteRequest, context: Context) -> pb.UnpublishSiteResponse:
        site = await self._publisher.take_down(current_person(), request.space, request.reason)
        return pb.UnpublishSiteResponse(site=convert.site(site, self._addresses))

    async def GetSite(self, request: pb.GetSiteRequest, context: Context) -> pb.GetSiteResponse:
        site = await self._publisher.site(current_person(), request.space)
        return pb.GetSiteResponse(site=convert.site(site, self._addresses))

    async def UpdateSite(self, request: pb.UpdateSiteRequest, context: Context) -> pb.UpdateSiteResponse:
        site = await self._publisher.choose(
            current_person(), request.site.space, convert.choices(request.site), request.site.etag
        )
        return pb.UpdateSiteResponse(site=convert.site(site, self._addresses))

    async def GetRelease(self, request: pb.GetReleaseRequest, context: Context) -> pb.GetReleaseResponse:
        release = await self._publisher.release(current_person(), request.space, request.release_id)
        return pb.GetReleaseResponse(release=convert.release(release, self._addresses))

    async def WatchRelease(
        self, request: pb.WatchReleaseRequest, context: Context
    ) -> AsyncGenerator[pb.WatchReleaseResponse]:
        async with aclosing(self._publisher.watch(current_person(), request.space, request.release_id)) as releases:
            async for release in releases:
                yield convert.watched(release, self._addresses)

    async def ListReleases(self, request: pb.ListReleasesRequest, context: Context) -> pb.ListReleasesResponse:
        limit, before = convert.releases_page(request)
        found = await self._publisher.releases(
            current_person(), request.space, request.branch, limit=limit + 1, before=before
        )
        return pb.ListReleasesResponse(
            releases=[convert.release(each, self._addresses) for each in found[:limit]],
            next_page_token=convert.releases_token(request, found[limit - 1]) if len(found) > limit else "",
        )

    async def ListSwitches(self, request: pb.ListSwitchesRequest, context: Context) -> pb.ListSwitchesResponse:
        limit, before = convert.switches_page(request)
        found = await self._publisher.switches(current_person(), request.space, limit=limit + 1, before=before)
        return pb.ListSwitchesResponse(
            switches=[convert.switch(each) for each in found[:limit]],
            next_page_token=convert.switches_token(request, found[limit - 1]) if len(found) > limit else "",
        )

    async def GetPreviewLink(self, request: pb.GetPreviewLinkRequest, context: Context) -> pb.GetPreviewLinkResponse:
        url = await self._publisher.link(current_person(), request.space, request.release_id)
        ttl = Duration()
        ttl.FromTimedelta(timedelta(seconds=self._publisher.link_ttl_s))
        return pb.GetPreviewLinkResponse(url=url, ttl=ttl)
