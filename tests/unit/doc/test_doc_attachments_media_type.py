"""What a file is told to be by its bytes."""

import pytest

from services.doc.domain.attachments.media_type import OCTETS, START_BYTES, SVG, TEXT, media_type


def told(content: bytes) -> str:
    return media_type(content[:START_BYTES], whole=len(content) <= START_BYTES)


def svg(inside: str, attributes: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" {attributes}>{inside}</svg>'
    ).encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"GIF87arest", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8", "image/webp"),
        (b"\x00\x00\x00\x1cftypavif", "image/avif"),
        (b"%PDF-1.7", "application/pdf"),
        (b"PK\x03\x04", "application/zip"),
        (b"plain words", TEXT),
        ("ä".encode() * START_BYTES, TEXT),  # cut in the middle of a letter
        (b"", TEXT),
        (b"\xff\xfe\x00binary", OCTETS),
        (b"<!doctype html><script>alert(1)</script>", OCTETS),
        (b"  <html>", OCTETS),
    ],
)
def test_the_first_bytes_tell_the_type_and_never_one_with_scripts(content: bytes, expected: str) -> None:
    assert told(content) == expected


@pytest.mark.parametrize(
    "drawing",
    [
        svg('<g transform="scale(2)"><path d="M0 0L1 1"/><text x="1">words</text></g>'),
        svg('<defs><linearGradient id="g"/></defs><rect fill="url(#g)"/><use xlink:href="#g"/>'),
        svg("<style>.a { fill: red } .b { clip-path: url('#c') }</style><title>A title</title>"),
        svg('<metadata><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></metadata>'),
    ],
)
def test_a_drawing_that_only_draws_is_a_picture(drawing: bytes) -> None:
    assert told(drawing) == SVG


@pytest.mark.parametrize(
    "drawing",
    [
        svg("<script>alert(1)</script>"),
        svg('<script href="data:text/javascript,alert(1)"/>'),
        svg('<circle onload="alert(1)"/>'),
        svg("", 'ONLOAD="alert(1)"'),
        svg('<a href="javascript:alert(1)"><text>x</text></a>'),
        svg('<a xlink:href=" java&#10;script:alert(1)"><text>x</text></a>'),
        svg('<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>'),
        svg('<x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>'),
        svg('<image href="https://elsewhere.example/pixel.png"/>'),
        svg('<use href="https://elsewhere.example/a.svg#a"/>'),
        svg('<set attributeName="href" to="javascript:alert(1)"/>'),
        svg('<animate attributeName="href" values="javascript:alert(1)"/>'),
        svg("<style>@import 'https://elsewhere.example/a.css'</style>"),
        svg("<style><g/>@import 'https://elsewhere.example/a.css'</style>"),
        svg("<style>a { mask-image: image-set('https://elsewhere.example/a' 1x) }</style>"),
        svg('<use href="#a"/>', 'xml:base="https://elsewhere.example/"'),
        svg('<rect style="fill: url(https://elsewhere.example/a)"/>'),
        svg('<rect fill="url( https://elsewhere.example/a )"/>'),
        svg("<style>@\\69mport 'https://elsewhere.example/a.css'</style>"),
        b'<!DOCTYPE svg [<!ENTITY a "aaaa">]>' + svg("<text>&a;</text>"),
        b'<?xml-stylesheet href="https://elsewhere.example/a.css"?>' + svg("<circle/>"),
        b'<html><body><svg xmlns="http://www.w3.org/2000/svg"/></body></html>',
        b"<svg><circle></svg>",
        svg("<circle/>" * 200_000),  # more than is looked through
    ],
)
def test_a_drawing_that_could_do_more_is_only_handed_out_as_bytes(drawing: bytes) -> None:
    assert told(drawing) == OCTETS
