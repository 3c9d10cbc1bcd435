"""WebhookService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc

from automesh.core.webhooks import shown
from automesh.mesh.caller import current_tenant
from automesh.model.v1 import webhook_service_pb2 as pb
from automesh.model.v1 import webhook_service_pb2_grpc as rpc
from services.model.convert import webhooks as convert
from services.model.domain.webhooks.courier import Courier, Webhooks

Context = grpc.aio.ServicerContext[Any, Any]


class WebhookServicer(rpc.WebhookServiceServicer):
    """Webhooks of tenants, and what was delivered to them."""

    def __init__(self, webhooks: Webhooks, courier: Courier) -> None:
        self._webhooks = webhooks
        self._courier = courier

    async def CreateWebhook(self, request: pb.CreateWebhookRequest, context: Context) -> pb.CreateWebhookResponse:
        content = convert.new_webhook(request.webhook)
        webhook, secret = await self._webhooks.create(current_tenant(), content, request_id=request.request_id)
        return pb.CreateWebhookResponse(webhook=convert.webhook(webhook), secret=shown(secret))

    async def ListWebhooks(self, request: pb.ListWebhooksRequest, context: Context) -> pb.ListWebhooksResponse:
        limit, before = convert.page(request)
        page, last = await self._webhooks.list(current_tenant(), limit=limit, before=before)
        return pb.ListWebhooksResponse(
            webhooks=[convert.webhook(each) for each in page],
            next_page_token=convert.page_token(last) if last else "",
        )

    async def DeleteWebhook(self, request: pb.DeleteWebhookRequest, context: Context) -> pb.DeleteWebhookResponse:
        await self._webhooks.delete(current_tenant(), request.webhook_id)
        return pb.DeleteWebhookResponse()

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, context: Context) -> pb.ListDeliveriesResponse:
        limit, before = convert.deliveries_page(request)
        tenant_id = current_tenant()
        page, last = await self._webhooks.deliveries(tenant_id, request.webhook_id, limit=limit, before=before)
        return pb.ListDeliveriesResponse(
            deliveries=[convert.delivery(each) for each in page],
            next_page_token=convert.deliveries_token(last) if last else "",
        )

    async def TestWebhook(self, request: pb.TestWebhookRequest, context: Context) -> pb.TestWebhookResponse:
        delivery = await self._courier.test(current_tenant(), request.webhook_id)
        return pb.TestWebhookResponse(delivery=convert.delivery(delivery))
