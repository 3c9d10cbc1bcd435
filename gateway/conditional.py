"""Conditional requests: the field `etag` of an answer as HTTP's ETag, If-None-Match, and If-Match for writes.

Tags are weak: what a message counts beside its state, such as how many documents a space has, changes without its
etag, and a proxy may compress the answer. A weak tag in If-Match still names the state that a writer has read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.exchange import HeaderList
from gateway.refusals import BadHeader

IF_MATCH, IF_NONE_MATCH = "if-match", "if-none-match"
NOT_MODIFIED = 304
ETAG = "etag"
_HEADS = ("expected_head", ETAG)
"""Fields of requests that say which state the writer has read, the first one there is."""

_OPAQUE = re.compile(r"[!#-~]{1,200}")
_TAG = re.compile(r'\s*(?:W/)?"([!#-~\x80-\xff]*)"\s*(?:,|$)')

ReadTag = Callable[[Any], str]


def tag_reader(response: Descriptor, response_body: str) -> ReadTag | None:
    """Takes the etag out of a response of this type; None when what is shown of it has none."""
    if not response_body:
        return (lambda message: message.etag) if _text(response, ETAG) else None
    field = response.fields_by_name[response_body]
    if field.message_type is None or field.is_repeated or not _text(field.message_type, ETAG):
        return None
    return lambda message: getattr(message, response_body).etag


def expected_field(request: Descriptor, body: str) -> tuple[str, ...]:
    """The way to the field that If-Match fills: of the request, else of the message in its body. Empty: none."""
    for name in _HEADS:
        if _text(request, name):
            return (name,)
    field = request.fields_by_name.get(body)
    if field is not None and field.message_type is not None and not field.is_repeated:
        return next(((body, name) for name in _HEADS if _text(field.message_type, name)), ())
    return ()


def fill_expected(message: Message, way: tuple[str, ...], header: str) -> None:
    """Puts the tag of If-Match where the writer said nothing of what it has read. Raises BadHeader."""
    at: Any = message
    for name in way[:-1]:
        at = getattr(at, name)
    if header.strip() == "*" or getattr(at, way[-1]):
        return
    tags = _tags(header)
    if tags is None or len(tags) != 1:
        raise BadHeader(
            'If-Match must be one entity tag in quotes, as ETag gave it: for example "rev_01j"', header=IF_MATCH
        )
    setattr(at, way[-1], tags[0])


def tag_headers(etag: str) -> HeaderList:
    """Which state the answer shows. Whoever keeps it must ask again before using it, for the same person only."""
    if not _OPAQUE.fullmatch(etag):
        return []
    return [
        (b"etag", f'W/"{etag}"'.encode("ascii")),
        (b"cache-control", b"private, no-cache"),
        (b"vary", b"authorization"),
    ]


def is_known(etag: str, header: str) -> bool:
    """Whether If-None-Match names this state, so that there is nothing to tell. What cannot be read names nothing."""
    if not header or not _OPAQUE.fullmatch(etag):
        return False
    return header.strip() == "*" or etag in (_tags(header) or ())


def _tags(header: str) -> list[str] | None:
    """The tags of a list, weak or strong; None for what is no such list."""
    found, at = [], 0
    while at < len(header):
        match = _TAG.match(header, at)
        if match is None:
            return None
        found.append(match[1])
        at = match.end()
    return found


def _text(descriptor: Descriptor, name: str) -> bool:
    field = descriptor.fields_by_name.get(name)
    return field is not None and field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
