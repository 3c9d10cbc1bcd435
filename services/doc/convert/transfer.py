"""Messages of TransferService and the domain."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from datetime import datetime

from google.api.httpbody_pb2 import HttpBody

from automesh.core.errors import ValidationError
from automesh.doc.v1 import transfer_service_pb2 as pb
from services.doc.domain.attachments.shelf import MAX_CHUNK
from services.doc.domain.transfer.asked import GIT_BUNDLE, TAR_GZ, ZIP, ExportAsked, ImportAsked
from services.doc.domain.transfer.ports import PackedFile

MEDIA_TYPES = {ZIP: "application/zip", TAR_GZ: "application/gzip", GIT_BUNDLE: "application/x-git-bundle"}
MAX_FILE, MAX_FILES = 32 * 1024 * 1024, 10_000
_FORMATS = {
    pb.ARCHIVE_FORMAT_UNSPECIFIED: ZIP,
    pb.ARCHIVE_FORMAT_ZIP: ZIP,
    pb.ARCHIVE_FORMAT_TAR_GZ: TAR_GZ,
    pb.ARCHIVE_FORMAT_GIT_BUNDLE: GIT_BUNDLE,
}


def import_asked(first: pb.ImportArchiveRequest) -> ImportAsked:
    """What the first message of an import says. Raises ValidationError."""
    return ImportAsked.checked(
        branch=first.branch,
        prefix=first.prefix,
        root=first.root,
        message=first.message,
        delete_missing=first.delete_missing,
    )


async def chunks(
    first: pb.ImportArchiveRequest, requests: AsyncIterator[pb.ImportArchiveRequest]
) -> AsyncIterator[bytes]:
    """The bytes of an import. Raises ValidationError for a second header."""
    if first.content.data:
        yield _checked(first.content.data)
    async for request in requests:
        if request.space or request.branch or request.prefix or request.root or request.message:
            raise ValidationError("after the first message an import has only content", field="content")
        yield _checked(request.content.data)


def export_asked(request: pb.ExportArchiveRequest) -> ExportAsked:
    """What an export is asked for. Raises ValidationError."""
    if request.format not in _FORMATS:
        raise ValidationError(f"{request.format} is no ArchiveFormat", field="format")
    return ExportAsked.checked(branch=request.branch, prefix=request.prefix, format=_FORMATS[request.format])


async def bodies(format: str, chunks: AsyncIterable[bytes]) -> AsyncGenerator[HttpBody, None]:
    """A download; the content type is in the first message."""
    content_type = MEDIA_TYPES[format]
    async for chunk in chunks:
        yield HttpBody(content_type=content_type, data=chunk)
        content_type = ""


async def header(requests: AsyncIterator[pb.StoreDocumentationRequest]) -> pb.StoreDocumentationHeader:
    """The first message. Raises ValidationError for anything else."""
    async for request in requests:
        if request.WhichOneof("part") == "header":
            return request.header
        break
    raise ValidationError("the first message is the header, with the lease", field="header")


async def files(requests: AsyncIterator[pb.StoreDocumentationRequest], now: datetime) -> AsyncIterator[PackedFile]:
    """The files that an agent sends, each whole. Raises ValidationError."""
    path, content, count = "", bytearray(), 0
    async for request in requests:
        part = request.WhichOneof("part")
        if part == "path":
            if path:
                yield _file(path, content, now)
            path, content, count = request.path, bytearray(), count + 1
            if not path or count > MAX_FILES:
                raise ValidationError(f"a file needs a path, and {MAX_FILES} files are the most", field="path")
        elif part == "chunk" and path:
            content += request.chunk
            if len(request.chunk) > MAX_CHUNK or len(content) > MAX_FILE:
                raise ValidationError(
                    f"{path[:200]!r}: a message brings {MAX_CHUNK} bytes at most, a file {MAX_FILE}", field="chunk"
                )
        else:
            raise ValidationError("after the header come files: for each its path, then its chunks", field="part")
    if not path:
        raise ValidationError("no file has come: send for each its path, then its chunks", field="path")
    yield _file(path, content, now)


def _checked(chunk: bytes) -> bytes:
    if len(chunk) > MAX_CHUNK:
        raise ValidationError(f"a chunk of {len(chunk)} bytes is more than {MAX_CHUNK}", field="content")
    return chunk


def _file(path: str, content: bytearray, now: datetime) -> PackedFile:
    return PackedFile(path=path, modified_at=now, content=bytes(content), size=len(content))
