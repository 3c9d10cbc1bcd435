"""What tests of comments and notifications do often."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from automesh.doc.v1 import comment_service_pb2 as pb
from automesh.doc.v1 import comment_service_pb2_grpc as rpc
from automesh.doc.v1 import document_pb2
from automesh.doc.v1 import notification_service_pb2 as note_pb
from automesh.doc.v1 import notification_service_pb2_grpc as note_rpc
from automesh.storage.postgres import ENGINE
from tests.integration.doc.doc_house import PERMISSIONS, Served

HOOKS = (*PERMISSIONS, "webhook.read", "webhook.write")
LIMIT_S = 10.0


async def comments(served: Served, user: str = "ann", *permissions: str) -> Any:
    return rpc.CommentServiceStub(await served.channel(user, *permissions))


async def notifications(served: Served, user: str = "ann", *permissions: str) -> Any:
    return note_rpc.NotificationServiceStub(await served.channel(user, *(permissions or HOOKS)))


async def say(served: Served, text: str, user: str = "ann", **where: Any) -> pb.Comment:
    request = pb.CreateCommentRequest(text=text, **where)
    made: pb.Comment = (await (await comments(served, user)).CreateComment(request)).comment
    return made


async def said(served: Served, user: str = "ann", **where: Any) -> Sequence[pb.Comment]:
    answer: pb.ListCommentsResponse = await (await comments(served, user)).ListComments(pb.ListCommentsRequest(**where))
    return answer.comments


def on(document: document_pb2.Document, quote: str) -> dict[str, Any]:
    """The first place in the document that reads so."""
    start = document.content.index(quote)
    anchor = pb.Anchor(revision_id=document.head, start=start, end=start + len(quote))
    return {"document_id": document.document_id, "branch": document.branch, "anchor": anchor}


async def feed(served: Served, user: str, **query: Any) -> list[note_pb.Notification]:
    """After all changes so far were told of."""
    async with asyncio.timeout(LIMIT_S):
        latest = await served.database.fetchval("SELECT coalesce(max(sequence), 0) FROM change", tenant=ENGINE)
        while latest:
            reached = await served.database.fetchval(
                "SELECT sequence FROM follower WHERE name = 'notifications'", tenant=ENGINE
            )
            if reached is not None and reached >= latest:
                break
            rung = served.engine.core.doorbell.rung
            await served.engine.core.doorbell.wait(rung, 0.05)
    stub = await notifications(served, user)
    return list((await stub.ListNotifications(note_pb.ListNotificationsRequest(**query))).notifications)
