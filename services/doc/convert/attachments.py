"""Attachments, both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from automesh.core import paging
from automesh.core.errors import ValidationError
from automesh.doc.v1 import attachment_service_pb2 as pb
from automesh.mesh import times
from services.doc.domain.attachments.attachment import Attachment
from services.doc.domain.spaces.space import MAIN


def attachment(found: Attachment) -> pb.Attachment:
    """The message of a file."""
    return pb.Attachment(
        space=found.space,
        branch=found.branch,
        path=found.path,
        content_type=found.content_type,
        size=found.size,
        sha256=found.sha256,
        create_time=times.timestamp(found.created_at),
        created_by=found.created_by,
    )


async def chunks(
    first: pb.UploadAttachmentRequest, requests: AsyncIterator[pb.UploadAttachmentRequest]
) -> AsyncIterator[bytes]:
    """The bytes of an upload. Raises ValidationError for a second header."""
    if first.content.data:
        yield first.content.data
    async for request in requests:
        if request.space or request.path or request.branch or request.expected_sha256:
            raise ValidationError("after the first message an upload has only content", field="content")
        yield request.content.data


def after(request: pb.ListAttachmentsRequest) -> str:
    """The path that the page before ended with."""
    return paging.decode_token(request.page_token, filters=_filters(request)) or ""


def page(found: Sequence[Attachment], request: pb.ListAttachmentsRequest) -> pb.ListAttachmentsResponse:
    """A page of what was found, one more than fits if there are more."""
    size = paging.page_size(request.page_size)
    token = paging.encode_token(found[size - 1].path, filters=_filters(request)) if len(found) > size else ""
    return pb.ListAttachmentsResponse(attachments=[attachment(each) for each in found[:size]], next_page_token=token)


def _filters(request: pb.ListAttachmentsRequest) -> list[str]:
    return ["attachments", request.space, request.branch or MAIN, request.prefix]
