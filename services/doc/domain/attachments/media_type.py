"""The media type of a file, told by its bytes: never one under which a browser runs scripts of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

OCTETS, TEXT, SVG = "application/octet-stream", "text/plain; charset=utf-8", "image/svg+xml"
START_BYTES = 1024 * 1024
"""As much of a file is looked at; a larger drawing is not looked through and so not shown."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x00\x00\x01\x00", "image/vnd.microsoft.icon"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)
_BRANDS = {
    b"avif": "image/avif",
    b"heic": "image/heic",
    b"mp41": "video/mp4",
    b"mp42": "video/mp4",
    b"isom": "video/mp4",
}
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_SVG = "{http://www.w3.org/2000/svg}"
_BASE = "{http://www.w3.org/XML/1998/namespace}base"
_HREFS = frozenset({"href", "{http://www.w3.org/1999/xlink}href"})
# fmt: off
_ELEMENTS = frozenset((
    "a", "circle", "clipPath", "defs", "desc", "ellipse", "feBlend", "feColorMatrix", "feComponentTransfer",
    "feComposite", "feDropShadow", "feFlood", "feFuncA", "feFuncB", "feFuncG", "feFuncR", "feGaussianBlur",
    "feMerge", "feMergeNode", "feMorphology", "feOffset", "filter", "g", "line", "linearGradient", "marker", "mask",
    "metadata", "path", "pattern", "polygon", "polyline", "radialGradient", "rect", "stop", "style", "svg",
    "switch", "symbol", "text", "textPath", "title", "tspan", "use", "view",
))
# fmt: on
_LOADS = ("url(", "image(", "image-set(", "src(", "@import", "expression(", "javascript:", "\\")
_MAX_NODES = 200_000


def media_type(start: bytes, *, whole: bool) -> str:
    """Of the first bytes (START_BYTES at most); `whole` says that there are no more."""
    for magic, found in _MAGIC:
        if start.startswith(magic):
            return found
    if start[:4] == b"RIFF" and start[8:12] in _RIFF:
        return _RIFF[start[8:12]]
    if start[:2] == b"BM" and start[6:10] == b"\x00\x00\x00\x00":
        return "image/bmp"
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], OCTETS)
    return _text_type(start, whole=whole)


def _text_type(start: bytes, *, whole: bool) -> str:
    if b"\x00" in start or not _is_text(start, whole=whole):
        return OCTETS
    if b"<svg" in start[:4096].lower():
        return SVG if whole and _draws_only(start) else OCTETS
    if start.lstrip().startswith(b"<"):
        return OCTETS  # markup of some kind: to be downloaded, not to be shown
    return TEXT


def _is_text(start: bytes, *, whole: bool) -> bool:
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return not whole and error.start >= len(start) - 3  # a letter that is cut at the end
    return True


def _draws_only(svg: bytes) -> bool:
    """No scripts, no handlers, nothing that loads: an allow-list of what drawings consist of."""
    lower = svg.lower()
    if b"<!doctype" in lower or b"<!entity" in lower or b"<?xml-stylesheet" in lower:
        return False
    try:
        root = ET.fromstring(svg)  # noqa: S314 - no document type, so no entities; a megabyte at most
    except (ET.ParseError, ValueError):
        return False
    if root.tag != f"{_SVG}svg":
        return False
    return all(_harmless(element) for element in _walked(root))


def _walked(root: ET.Element) -> Iterator[ET.Element]:
    """All elements, as far as _MAX_NODES."""
    waiting, seen = [root], 0
    while waiting:
        element = waiting.pop()
        seen += 1
        yield element
        if seen > _MAX_NODES:
            yield ET.Element("too-many")  # not in the allow-list
            return
        waiting += list(element)


def _harmless(element: ET.Element) -> bool:
    tag = element.tag if isinstance(element.tag, str) else ""
    if not tag.startswith("{"):
        return False
    space, _, name = tag.rpartition("}")
    if f"{space}}}" == _SVG:
        if name not in _ELEMENTS:
            return False
        if name == "style" and not _plain_style("".join(element.itertext())):
            return False
    elif "xhtml" in space:
        return False
    return all(_plain_attribute(attribute, value) for attribute, value in element.attrib.items())


def _plain_attribute(attribute: str, value: str) -> bool:
    lower = "".join(value.split()).lower()
    if attribute in _HREFS:
        return lower.startswith("#")
    if attribute == _BASE:
        return False
    if attribute.rpartition("}")[2].lower().startswith("on"):
        return False
    return "javascript:" not in lower and (attribute.startswith("{") or _plain_style(value))


def _plain_style(style: str) -> bool:
    """References inside the drawing only."""
    lower = "".join(style.split()).lower()
    inside = lower.replace("url(#", "").replace("url('#", "").replace('url("#', "")
    return not any(mark in inside for mark in _LOADS)
