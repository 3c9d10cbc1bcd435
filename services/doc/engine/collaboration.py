"""Comments, notifications, webhooks of spaces."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from automesh.core.webhooks import Courier
from automesh.doc.v1 import (
    comment_service_pb2,
    comment_service_pb2_grpc,
    notification_service_pb2,
    notification_service_pb2_grpc,
)
from automesh.mesh.server import Bound
from automesh.outbound.deliveries import Deliveries
from services.doc.domain.comments.discussion import Discussion
from services.doc.domain.notifications.feed import Feeds
from services.doc.domain.notifications.webhooks import DocWebhooks
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.loops.notifications import Notifier
from services.doc.service.comment_service import CommentServicer
from services.doc.service.notification_service import NotificationServicer
from services.doc.store.comments import SqlCommentStore
from services.doc.store.notifications import SqlChangeTeller, SqlFeedStore
from services.doc.store.webhooks import SqlDocDeliveries, SqlDocWebhookStore


@asynccontextmanager
async def open_collaboration(core: Core) -> AsyncGenerator[Part]:
    """See Part. Opens before reviews do, which ask for open comments."""
    options, outside = core.options, core.outside
    comments = SqlCommentStore(outside.database, outside.sealer, make_id=options.make_id)
    core.comments = comments
    discussion = Discussion(comments, core.documents, core.reader, core.directory, make_id=options.make_id)
    feeds = SqlFeedStore(outside.database)
    notifier = Notifier(
        core.changes,
        SqlChangeTeller(outside.database, make_id=options.make_id),
        feeds,
        core.doorbell,
        poll_every_s=options.poll_every_s,
        clean_every_s=10 * options.clean_every_s,
    )
    webhooks = DocWebhooks(
        SqlDocWebhookStore(outside.database, outside.sealer),
        outside.sender,
        core.directory,
        make_id=options.make_id,
    )
    courier = Courier(SqlDocDeliveries(outside.database, outside.sealer), outside.sender, clock=options.clock)
    carrying = Deliveries(courier, poll_s=options.webhook_poll_s)
    try:
        yield Part(
            bounds=[
                Bound(
                    comment_service_pb2.DESCRIPTOR.services_by_name["CommentService"],
                    comment_service_pb2_grpc.add_CommentServiceServicer_to_server,
                    CommentServicer(discussion),
                ),
                Bound(
                    notification_service_pb2.DESCRIPTOR.services_by_name["NotificationService"],
                    notification_service_pb2_grpc.add_NotificationServiceServicer_to_server,
                    NotificationServicer(Feeds(feeds, core.directory, core.reader), webhooks, options.clock),
                ),
            ],
            loops={"notifications": notifier.step, "deliver to webhooks": carrying.step},
        )
    finally:
        await carrying.close()
