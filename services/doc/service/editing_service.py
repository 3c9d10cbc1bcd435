"""EditingService over gRPC: the one stream between an editor and its room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import structlog

from automesh.core.errors import AutomationError, InternalError, ValidationError
from automesh.doc.v1 import editing_service_pb2 as pb
from automesh.doc.v1 import editing_service_pb2_grpc as rpc
from services.doc.convert import editing as convert
from services.doc.domain.editing.live_room import LiveRoom
from services.doc.domain.editing.rooms import EditingRooms, check_message, check_presence
from services.doc.domain.editing.session import Session
from services.doc.domain.spaces.space import MAIN
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]
log = structlog.get_logger(__name__)

JOIN_WITHIN_S = 30.0


class EditingServicer(rpc.EditingServiceServicer):
    """Editors and their rooms."""

    def __init__(self, rooms: EditingRooms) -> None:
        self._rooms = rooms

    async def EditDocument(
        self, request_iterator: AsyncIterator[pb.EditDocumentRequest], context: Context
    ) -> AsyncGenerator[pb.EditDocumentResponse, None]:
        join = await _first(request_iterator)
        live, session, joined = await self._rooms.join(
            current_person(), join.document_id, join.branch or MAIN, join.state_vector
        )
        reader = asyncio.create_task(_read(live, session, request_iterator), name=f"edit {session.session_id}")
        try:
            yield convert.joined(joined)
            async with aclosing(session.said()) as said:
                async for each in said:
                    yield convert.response(each)
        finally:
            reader.cancel()
            await asyncio.wait([reader])
            await self._rooms.leave(live, session)


async def _first(requests: AsyncIterator[pb.EditDocumentRequest]) -> pb.Join:
    try:
        async with asyncio.timeout(JOIN_WITHIN_S):
            request = await anext(requests)
    except (StopAsyncIteration, TimeoutError) as error:
        raise ValidationError("the stream begins with `join`", field="join") from error
    if not request.HasField("join") or not request.join.document_id:
        raise ValidationError("the stream begins with `join`, which names a document", field="join.document_id")
    for name in ("document_id", "branch"):
        if "\x00" in getattr(request.join, name):
            raise ValidationError(f"{name} holds a NUL character: leave it out", field=f"join.{name}")
    return request.join


async def _read(live: LiveRoom, session: Session, requests: AsyncIterator[pb.EditDocumentRequest]) -> None:
    """Takes in message after message; how it ends is how the stream ends."""
    try:
        async for request in requests:
            await _take(live, session, request)
        session.end()
    except AutomationError as error:
        session.end(error)
    except Exception as error:
        if isinstance(error, grpc.aio.BaseError | asyncio.InvalidStateError):  # the stream broke off
            session.end()
        else:
            log.exception("a message of an editor could not be handled", session_id=session.session_id)
            session.end(InternalError("internal error"))


async def _take(live: LiveRoom, session: Session, request: pb.EditDocumentRequest) -> None:
    match request.WhichOneof("said"):
        case "update":
            await live.write(session, request.update.number, request.update.update)
        case "presence":
            await live.show(session, check_presence(request.presence.state))
        case "save":
            await live.save(session, check_message(request.save.message))
        case other:
            raise ValidationError(f"the stream has no place for {other or 'an empty message'} here", field="said")
