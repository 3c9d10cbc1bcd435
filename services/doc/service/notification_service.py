"""NotificationService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.core import paging
from automesh.core.clock import Clock
from automesh.core.webhooks import shown
from automesh.doc.v1 import notification_service_pb2 as pb
from automesh.doc.v1 import notification_service_pb2_grpc as rpc
from services.doc.convert import notifications as convert
from services.doc.domain.notifications.feed import Feeds
from services.doc.domain.notifications.webhooks import DocWebhooks
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]


class NotificationServicer(rpc.NotificationServiceServicer):
    """Feeds of people, and webhooks of spaces."""

    def __init__(self, feeds: Feeds, webhooks: DocWebhooks, clock: Clock) -> None:
        self._feeds, self._webhooks, self._clock = feeds, webhooks, clock

    async def ListNotifications(
        self, request: pb.ListNotificationsRequest, context: Context
    ) -> pb.ListNotificationsResponse:
        limit = paging.page_size(request.page_size) + 1
        found = await self._feeds.list(
            current_person(), unseen=request.unseen, limit=limit, before=convert.before(request)
        )
        return convert.page(found, request)

    async def MarkSeen(self, request: pb.MarkSeenRequest, context: Context) -> pb.MarkSeenResponse:
        await self._feeds.mark_seen(current_person(), request.sequence)
        return pb.MarkSeenResponse()

    async def Follow(self, request: pb.FollowRequest, context: Context) -> pb.FollowResponse:
        await self._feeds.follow(current_person(), request.space, request.document_id, stop=request.stop)
        return pb.FollowResponse()

    async def CreateDocWebhook(
        self, request: pb.CreateDocWebhookRequest, context: Context
    ) -> pb.CreateDocWebhookResponse:
        new = convert.new_webhook(request)
        hook, secret = await self._webhooks.create(current_person(), request.space, new, self._clock())
        return pb.CreateDocWebhookResponse(webhook=convert.webhook(hook), secret=shown(secret))

    async def ListDocWebhooks(self, request: pb.ListDocWebhooksRequest, context: Context) -> pb.ListDocWebhooksResponse:
        found = await self._webhooks.list(current_person(), request.space)
        return pb.ListDocWebhooksResponse(webhooks=[convert.webhook(each) for each in found])

    async def EnableDocWebhook(
        self, request: pb.EnableDocWebhookRequest, context: Context
    ) -> pb.EnableDocWebhookResponse:
        hook = await self._webhooks.enable(current_person(), request.space, request.webhook_id)
        return pb.EnableDocWebhookResponse(webhook=convert.webhook(hook))

    async def DeleteDocWebhook(
        self, request: pb.DeleteDocWebhookRequest, context: Context
    ) -> pb.DeleteDocWebhookResponse:
        await self._webhooks.delete(current_person(), request.space, request.webhook_id)
        return pb.DeleteDocWebhookResponse()
