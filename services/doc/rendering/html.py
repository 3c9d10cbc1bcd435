"""Markdown to HTML by comrak, made safe by nh3 with a list of what may stay."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Iterator

import comrak
import nh3  # noqa: F401 - loaded with the rest, before any limit on memory

from automesh.core.anchors import anchors_of
from services.doc.domain.documents.front_matter import body_of
from services.doc.domain.markdown.outline import Outline, outline
from services.doc.domain.markdown.renderer import Resolve
from services.doc.rendering import bounds
from services.doc.rendering.highlight import highlighted
from services.doc.rendering.policy import cleaner

_SELF_LINK = re.compile(
    r'<a href="#[^"]*" aria-label="[^"]*" data-heading-content="[^"]*" class="anchor"></a></h([1-6])>'
)
_TAG = re.compile(r"<[^>]*>")
_IMAGE = re.compile(r'(<a )|(</a>)|<img((?: [a-z-]+="[^"]*")+)>')
_TASK = re.compile(r'<input((?: [a-z-]+="[^"]*")*)>')
_CODE = re.compile(r'<pre><code class="language-([^" ]+)">([^<]*)</code></pre>')
_INLINE = re.compile(r"(?<!<pre>)<code>([^<]*)</code>")
_BREAKABLE = re.compile(r"(?<!\S)(?=\S*[-/])\S{2,32}(?!\S)")

VERSION = "2"
"""Another one whenever the same text would look different: what is cached of it holds no more."""


class MarkdownRenderer:
    """A services.doc.domain.markdown.renderer.Renderer."""

    def render(self, content: str, *, resolve: Resolve) -> str:
        """See the port."""
        return self.render_outlined(content, outline(content), resolve=resolve)

    def render_outlined(self, content: str, found: Outline, *, resolve: Resolve) -> str:
        """The same for one whose outline is known already."""
        bounds.check_text(content, len(found.headings))
        # Nobody can write what nobody can guess: ids of headings and foreign pictures are told by it.
        secret = f"x{secrets.token_hex(8)}-"
        made = _markdown(body_of(content), secret)
        made = _with_anchors(made, secret, found)
        bounds.check_html(made)
        clean = cleaner(resolve, f"https://{secret}/").clean(made)
        # The sanitiser writes what it adds to an element in any order: equal texts must become equal pages.
        clean = _TASK.sub(_task, clean)
        clean = _IMAGE.sub(_Pictures(f"https://{secret}/"), clean)
        return _INLINE.sub(_with_whole_words, _CODE.sub(_highlight, clean))


def _markdown(body: str, secret: str) -> str:
    extensions = comrak.ExtensionOptions()
    for name in ("alerts", "autolink", "footnotes", "strikethrough", "table", "tasklist"):
        setattr(extensions, name, True)
    extensions.header_id_prefix = secret
    options = comrak.RenderOptions()
    options.unsafe_ = True  # what is unsafe goes in the next step, by our own list
    return comrak.render_markdown(body, extension_options=extensions, render_options=options)


def _with_anchors(made: str, secret: str, found: Outline) -> str:
    """Headings get the anchors of the outline, and a link to themselves."""
    parts = re.split(rf'<h([1-6]) id="{secret}[^"]*">', made)
    starts = range(1, len(parts), 2)
    if len(starts) == len(found.headings):
        anchors: Iterator[str] = iter([heading.anchor for heading in found.headings])
    else:  # the two parsers disagree about this text
        anchors = iter(anchors_of([_text_of(parts[at + 1], parts[at]) for at in starts]))
    for at in starts:
        anchor = html.escape(next(anchors))
        link = (
            f' <a class="anchor" href="#{anchor}" aria-label="Link to this section">#</a></h{parts[at]}>'
            if anchor
            else ""
        )
        parts[at + 1] = _SELF_LINK.sub(link or f"</h{parts[at]}>", parts[at + 1], count=1)
        parts[at] = f'<h{parts[at]} id="{anchor}">' if anchor else f"<h{parts[at]}>"
    return "".join(parts)


def _text_of(rest: str, level: str) -> str:
    return " ".join(html.unescape(_TAG.sub("", rest.partition(f"</h{level}>")[0])).split())


class _Pictures:
    """Pictures of other hosts become links: a reader's browser asks nobody by itself. In a link only words stay."""

    def __init__(self, foreign: str) -> None:
        self._foreign, self._in_link = foreign, False

    def __call__(self, match: re.Match[str]) -> str:
        opening, _, attributes = match.groups()
        if attributes is None:
            self._in_link = bool(opening)
            return match[0]
        values = dict(re.findall(r' ([a-z-]+)="([^"]*)"', attributes))
        source, words = values.get("src", ""), values.get("alt", "")
        if not source:
            return f'<span class="am-missing">{_shown(words)}</span>' if words else ""
        if not source.startswith(self._foreign):
            return match[0]
        address = source.removeprefix(self._foreign)
        words = _shown(words or address)
        if self._in_link:
            return words
        return f'<a class="am-foreign" href="{address}" rel="noopener noreferrer">{words}</a>'


def _shown(escaped: str) -> str:
    """The value of an attribute as text: there the serialiser leaves < and > as they are."""
    return escaped.replace("<", "&lt;").replace(">", "&gt;")


def _task(match: re.Match[str]) -> str:
    return f'<input type="checkbox" disabled{" checked" if " checked=" in match[1] else ""}>'


def _highlight(match: re.Match[str]) -> str:
    language, code = match.groups()
    return (
        f'<pre data-language="{language}"><code class="language-{language}">{highlighted(code, language)}</code></pre>'
    )


def _with_whole_words(match: re.Match[str]) -> str:
    """Browsers would break a line after the hyphens of --wait; only a long word may need that."""
    return f"<code>{_BREAKABLE.sub(_word, match[1])}</code>"


def _word(match: re.Match[str]) -> str:
    return f'<span class="am-word">{match[0]}</span>'
