"""Notifications and webhooks of spaces, both ways."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.core import paging
from automesh.doc.v1 import notification_service_pb2 as pb
from automesh.mesh import times
from services.doc.convert import cursors
from services.doc.domain.notifications.notice import Notification
from services.doc.domain.notifications.webhooks import DocWebhook, NewDocWebhook


def before(request: pb.ListNotificationsRequest) -> int | None:
    """Where the page before ended."""
    after = cursors.count(request.page_token, filters=_filters(request))
    return after[0] if after else None


def page(found: Sequence[Notification], request: pb.ListNotificationsRequest) -> pb.ListNotificationsResponse:
    """A page of what was found, one more than fits if there are more."""
    size, token = paging.page_size(request.page_size), ""
    if len(found) > size:
        token = cursors.count_token(found[size - 1].sequence, filters=_filters(request))
    return pb.ListNotificationsResponse(
        notifications=[notification(each) for each in found[:size]], next_page_token=token
    )


def notification(found: Notification) -> pb.Notification:
    """The message of a line in a feed."""
    return pb.Notification(
        sequence=found.sequence,
        kind=found.kind,
        space=found.space,
        document_id=found.document_id,
        review_id=found.review_id,
        comment_id=found.comment_id,
        actor=found.actor,
        text=f"{found.text} ({found.times} times)" if found.times > 1 else found.text,
        time=times.timestamp(found.time),
        seen=found.seen,
    )


def new_webhook(request: pb.CreateDocWebhookRequest) -> NewDocWebhook:
    """Raises ValidationError; a kind that is named twice counts once."""
    return NewDocWebhook(url=request.url, kinds=tuple(dict.fromkeys(request.kinds)))


def webhook(found: DocWebhook) -> pb.DocWebhook:
    """The message of a webhook."""
    return pb.DocWebhook(
        webhook_id=found.webhook_id,
        space=found.space,
        url=found.content.url,
        kinds=found.content.kinds,
        create_time=times.timestamp(found.created_at),
        last_result=found.last_result,
        last_time=times.timestamp(found.last_at),
        disabled_reason=found.disabled_reason,
        waiting=found.waiting,
    )


def _filters(request: pb.ListNotificationsRequest) -> list[object]:
    return ["notifications", request.unseen]
