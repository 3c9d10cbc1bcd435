"""AttachmentService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.doc.v1 import attachment_service_pb2 as pb
from automesh.doc.v1 import attachment_service_pb2_grpc as rpc
from services.doc.convert import attachments as convert
from services.doc.domain.attachments.shelf import AttachmentShelf
from services.doc.domain.spaces.space import MAIN
from services.doc.service.caller import current_person

Context = grpc.aio.ServicerContext[Any, Any]
READ_CHUNK = 256 * 1024


class AttachmentServicer(rpc.AttachmentServiceServicer):
    """The front door for files beside documents."""

    def __init__(self, shelf: AttachmentShelf) -> None:
        self._shelf = shelf

    async def UploadAttachment(
        self, request_iterator: AsyncIterator[pb.UploadAttachmentRequest], context: Context
    ) -> pb.UploadAttachmentResponse:
        first = await anext(request_iterator, None)
        if first is None:
            raise ValidationError("the first message of an upload says where the file belongs", field="path")
        stored = await self._shelf.put(
            current_person(),
            first.space,
            first.branch or MAIN,
            first.path,
            convert.chunks(first, request_iterator),
            expected_sha256=first.expected_sha256,
        )
        return pb.UploadAttachmentResponse(attachment=convert.attachment(stored))

    async def DownloadAttachment(
        self, request: pb.DownloadAttachmentRequest, context: Context
    ) -> AsyncGenerator[HttpBody, None]:
        person = current_person()
        found = await self._shelf.found(
            person, request.space, request.branch or MAIN, request.path, revision_id=request.revision_id
        )
        content_type = found.content_type
        async with aclosing(self._shelf.read(person.tenant_id, found.sha256)) as chunks:
            async for chunk in chunks:
                for start in range(0, len(chunk), READ_CHUNK):
                    yield HttpBody(content_type=content_type, data=chunk[start : start + READ_CHUNK])
                    content_type = ""
        if content_type:
            yield HttpBody(content_type=content_type)

    async def ListAttachments(self, request: pb.ListAttachmentsRequest, context: Context) -> pb.ListAttachmentsResponse:
        found = await self._shelf.list(
            current_person(),
            request.space,
            request.branch or MAIN,
            prefix=request.prefix,
            limit=paging.page_size(request.page_size) + 1,
            after=convert.after(request),
        )
        return convert.page(found, request)

    async def DeleteAttachment(
        self, request: pb.DeleteAttachmentRequest, context: Context
    ) -> pb.DeleteAttachmentResponse:
        await self._shelf.delete(current_person(), request.space, request.branch or MAIN, request.path)
        return pb.DeleteAttachmentResponse()
