"""What may stay in HTML that people wrote: elements, attributes, classes, addresses. Everything else goes."""

from __future__ import annotations

import re
from collections.abc import Callable

import nh3

from services.doc.domain.markdown.renderer import Resolve

TAGS = frozenset({
    "a", "abbr", "b", "bdi", "bdo", "blockquote", "br", "caption", "cite", "code", "col", "colgroup", "dd", "del",
    "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "i", "img", "input", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "rp", "rt", "ruby", "s", "samp",
    "section", "small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead",
    "time", "tr", "u", "ul", "var", "wbr",
})  # fmt: skip
"""Without form, svg, math, style, iframe, object, video: they run, load or deceive."""
DROPPED_WITH_CONTENT = frozenset({
    "script", "style", "template", "title", "textarea", "xmp", "noscript", "noframes", "noembed", "plaintext",
    "iframe", "object", "svg", "math", "select", "head",
})  # fmt: skip
_ANYWHERE = frozenset({"id", "title", "lang", "dir", "class"})
_ATTRIBUTES = {
    "*": _ANYWHERE,
    "a": {"href", "name", "aria-label"},
    "col": {"span"},
    "colgroup": {"span"},
    "details": {"open"},
    "img": {"src", "alt", "width", "height"},
    "input": {"checked"},
    "li": {"value"},
    "ol": {"start", "reversed", "type"},
    "td": {"align", "valign", "colspan", "rowspan"},
    "th": {"align", "valign", "colspan", "rowspan", "scope", "abbr"},
    "time": {"datetime"},
}
_ALERTS = ("note", "tip", "important", "warning", "caution")
CLASSES = frozenset(
    {"anchor", "footnote-ref", "footnotes", "footnote-backref", "markdown-alert", "markdown-alert-title"}
    | {f"markdown-alert-{name}" for name in _ALERTS}
)
SCHEMES = frozenset({"http", "https", "mailto"})
_LANGUAGE = re.compile(r"language-[\w+#.-]{1,40}")
_ID = re.compile(r"[^\s:\"'<>&`=]{1,300}")  # a colon marks the ids of the page around: nobody else's has one
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_IGNORED = {ord(char): None for char in "\t\n\r"}  # browsers take no notice of these anywhere in an address
_AROUND = "".join(map(chr, range(33)))  # nor of these at its ends


def cleaner(resolve: Resolve, foreign: str) -> nh3.Cleaner:
    """A sanitiser for one page; pictures of other hosts get `foreign` before their address."""
    return nh3.Cleaner(
        tags=set(TAGS),
        clean_content_tags=set(DROPPED_WITH_CONTENT),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=_filter(resolve, foreign),
        set_tag_attribute_values={"input": {"type": "checkbox", "disabled": ""}},
        url_schemes=set(SCHEMES),
        link_rel="noopener noreferrer",
    )


def _filter(resolve: Resolve, foreign: str) -> Callable[[str, str, str], str | None]:
    def keep(tag: str, name: str, value: str) -> str | None:
        if name == "href":
            return _address(value, resolve)
        if name == "src":
            address = _address(value, resolve)
            return foreign + address if address and _SCHEME.match(address) else address
        if name == "class":
            return _classes(value)
        if name in {"id", "name"}:
            return value if _ID.fullmatch(value) else None
        return value

    return keep


def _address(value: str, resolve: Resolve) -> str | None:
    address = value.strip(_AROUND).translate(_IGNORED)
    if found := _SCHEME.match(address):
        return address if found[1].lower() in SCHEMES else None
    if address.startswith("//"):
        return f"https:{address}"
    if not address or "\\" in address[:2]:  # browsers read a backslash as a slash
        return None
    return address if address.startswith("#") else resolve(address)


def _classes(value: str) -> str | None:
    kept = [name for name in value.split() if name in CLASSES or _LANGUAGE.fullmatch(name)]
    return " ".join(kept) or None
