"""Attachments over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from automesh.doc.v1 import attachment_service_pb2 as pb
from automesh.doc.v1 import attachment_service_pb2_grpc as rpc
from services.doc.domain.attachments.errors import AttachmentChanged, AttachmentNotFound
from services.doc.domain.attachments.media_type import OCTETS, SVG
from tests.integration.doc.doc_house import Served, invalid, refused

GIF = b"GIF89a" + b"g" * 600_000


async def stub(doc: Served, user: str = "ann") -> rpc.AttachmentServiceAsyncStub:
    return rpc.AttachmentServiceStub(await doc.channel(user))


async def upload(doc: Served, path: str, content: bytes, **header: Any) -> pb.Attachment:
    async def requests() -> AsyncIterator[pb.UploadAttachmentRequest]:
        first = pb.UploadAttachmentRequest(**{"space": "handbook", "path": path, **header})
        first.content.data = content[:10]
        yield first
        for start in range(10, len(content), 100_000):
            request = pb.UploadAttachmentRequest()
            request.content.data = content[start : start + 100_000]
            yield request

    return (await (await stub(doc)).UploadAttachment(requests())).attachment


async def download(doc: Served, path: str, **fields: Any) -> tuple[str, bytes]:
    call = (await stub(doc)).DownloadAttachment(pb.DownloadAttachmentRequest(space="handbook", path=path, **fields))
    messages = [message async for message in call]
    return messages[0].content_type, b"".join(message.data for message in messages)


async def test_a_file_goes_up_in_pieces_and_comes_down_with_its_type(handbook: Served) -> None:
    stored = await upload(handbook, "images/dance.gif", GIF)
    assert (stored.size, stored.content_type, stored.branch, stored.created_by) == (
        len(GIF),
        "image/gif",
        "main",
        "ann",
    )
    assert await download(handbook, "images/dance.gif") == ("image/gif", GIF)
    empty = await upload(handbook, "images/empty", b"")
    assert (await download(handbook, "images/empty"))[1] == b""
    assert empty.size == 0


async def test_a_drawing_with_a_script_is_no_picture(handbook: Served) -> None:
    plain = b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="1"/></svg>'
    await upload(handbook, "plain.svg", plain)
    await upload(handbook, "evil.svg", plain.replace(b"<circle", b'<circle onload="alert(1)"'))
    assert (await download(handbook, "plain.svg"))[0] == SVG
    assert (await download(handbook, "evil.svg"))[0] == OCTETS


async def test_the_list_comes_in_pages_and_by_folder(handbook: Served) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png", "ab.png"):
        await upload(handbook, name, name.encode())
    files = await stub(handbook)
    first = await files.ListAttachments(pb.ListAttachmentsRequest(space="handbook", page_size=3))
    rest = await files.ListAttachments(
        pb.ListAttachmentsRequest(space="handbook", page_size=3, page_token=first.next_page_token)
    )
    found = [each.path for each in (*first.attachments, *rest.attachments)]
    assert (found, rest.next_page_token) == (["a/1.png", "a/2.png", "ab.png", "b/1.png"], "")
    folder = await files.ListAttachments(pb.ListAttachmentsRequest(space="handbook", prefix="a/"))
    assert [each.path for each in folder.attachments] == ["a/1.png", "a/2.png"]


async def test_what_a_stale_upload_would_have_replaced_is_named_and_stays(handbook: Served) -> None:
    first = await upload(handbook, "a.png", b"one")
    error = await refused(upload(handbook, "a.png", b"two"))
    assert isinstance(error, AttachmentChanged)
    assert error.metadata["sha256"] == first.sha256
    await upload(handbook, "a.png", b"two", expected_sha256=first.sha256)
    assert (await download(handbook, "a.png"))[1] == b"two"


async def test_a_revision_shows_the_picture_that_it_had(handbook: Served) -> None:
    first = await upload(handbook, "a.png", b"one")
    document = await handbook.write("page.md", "![a](a.png)")
    await upload(handbook, "a.png", b"two", expected_sha256=first.sha256)
    assert (await download(handbook, "a.png", revision_id=document.head))[1] == b"one"
    assert (await download(handbook, "a.png"))[1] == b"two"
    request = pb.DeleteAttachmentRequest(space="handbook", path="a.png")
    await (await stub(handbook)).DeleteAttachment(request)
    assert (await download(handbook, "a.png", revision_id=document.head))[1] == b"one"
    assert isinstance(await refused(download(handbook, "a.png")), AttachmentNotFound)


async def test_an_upload_needs_a_header_and_only_one(handbook: Served) -> None:
    async def none() -> AsyncIterator[pb.UploadAttachmentRequest]:
        return
        yield

    async def two() -> AsyncIterator[pb.UploadAttachmentRequest]:
        yield pb.UploadAttachmentRequest(space="handbook", path="a.png")
        yield pb.UploadAttachmentRequest(space="handbook", path="b.png")

    files = await stub(handbook)
    assert (await invalid(files.UploadAttachment(none()))).violations[0].field == "path"
    assert (await invalid(files.UploadAttachment(two()))).violations[0].field == "content"
    assert not (await files.ListAttachments(pb.ListAttachmentsRequest(space="handbook"))).attachments
