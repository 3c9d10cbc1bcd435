"""Messages of WebhookService and the domain."""

from __future__ import annotations

from automesh.core import paging
from automesh.core.webhooks import Delivery
from automesh.mesh.times import timestamp
from automesh.model.v1 import webhook_service_pb2 as pb
from services.model.domain.webhooks.webhook import NewWebhook, Webhook


def new_webhook(message: pb.Webhook) -> NewWebhook:
    """What somebody asks for; output-only fields are ignored, an event that is named twice counts once."""
    return NewWebhook(url=message.url, events=tuple(dict.fromkeys(message.events)), description=message.description)


def webhook(found: Webhook) -> pb.Webhook:
    """The message of a webhook."""
    content = found.content
    return pb.Webhook(
        webhook_id=found.webhook_id,
        url=content.url,
        events=content.events,
        description=content.description,
        create_time=timestamp(found.created_at),
    )


def delivery(found: Delivery) -> pb.Delivery:
    """The message of a delivery."""
    return pb.Delivery(
        delivery_id=found.delivery_id,
        event=found.event,
        attempts=found.attempts,
        state=found.state.value,
        last_status=found.last_status,
        last_error=found.last_error,
        create_time=timestamp(found.created_at),
        next_time=timestamp(found.next_at),
    )


def page(request: pb.ListWebhooksRequest) -> tuple[int, str | None]:
    """How many, and before which one."""
    return paging.page_size(request.page_size), paging.decode_token(request.page_token, filters="webhooks")


def page_token(last: Webhook) -> str:
    """Continues after `last`."""
    return paging.encode_token(last.webhook_id, filters="webhooks")


def deliveries_page(request: pb.ListDeliveriesRequest) -> tuple[int, str | None]:
    """How many, and before which one."""
    filters = ["deliveries", request.webhook_id]
    return paging.page_size(request.page_size), paging.decode_token(request.page_token, filters=filters)


def deliveries_token(last: Delivery) -> str:
    """Continues after `last`."""
    return paging.encode_token(last.delivery_id, filters=["deliveries", last.webhook_id])
