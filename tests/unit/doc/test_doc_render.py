"""Markdown becomes HTML: anchors, links, pictures, code, and pages that are too much."""

from __future__ import annotations

import html
import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.doc.domain.markdown.outline import outline
from services.doc.domain.markdown.renderer import PageTooDeep, nowhere
from services.doc.rendering.apart import BoundedRenderer
from services.doc.rendering.highlight import _FAMILIES, highlighted
from services.doc.rendering.html import MarkdownRenderer

LIMIT_S = 20.0
"""On a busy machine; alone it is a second or two."""
MIB = 1024 * 1024


def rendered(content: str, **known: str) -> str:
    return MarkdownRenderer().render(content, resolve=known.get)


def anchors(page: str) -> list[str]:
    return [html.unescape(each) for each in re.findall(r'<h[1-6] id="([^"]*)"', page)]


def test_headings_have_the_anchors_that_links_are_checked_against() -> None:
    content = (
        "---\ntitle: x\n---\n# Über *die* `Sache`!\n\n## Same\n\n## Same\n\nSetext\n---\n\n> ### Quoted\n\n"
        "- #### In a list\n\n## a_b c-d\n\n## <b>html</b> & more\n\n## [link](x.md)\n\n```\n# no heading\n```\n"
    )
    assert anchors(rendered(content)) == [heading.anchor for heading in outline(content).headings]


WORDS = st.text(alphabet="ab #*_`[]()<>!-&\\\n\tÄ1.", max_size=60)


@given(st.lists(st.tuples(st.integers(1, 6), WORDS), max_size=6))
def test_headings_of_any_words_have_anchors_that_lead_to_them(parts: list[tuple[int, str]]) -> None:
    content = "\n\n".join(f"{'#' * level} {words}" for level, words in parts)
    found = anchors(rendered(content))
    assert len(found) == len(set(found))
    wanted = [heading.anchor for heading in outline(content).headings if heading.anchor]
    if len(found) == len(wanted):
        assert found == wanted


def test_words_of_code_in_a_line_stay_whole_unless_they_are_very_long() -> None:
    long = "a-" * 30
    page = rendered(f"`run --wait <b>/x` `plain` `{long}`\n\n    no --word here\n\n```sh\n--nor\n```\n")
    assert re.findall(r'<span class="am-word">([^<]*)</span>', page) == ["--wait", "&lt;b&gt;/x"]
    assert f"<code>{long}</code>" in page
    assert "<code>plain</code>" in page


def test_raw_html_headings_are_no_headings_of_the_outline() -> None:
    content = "<h2>raw</h2>\n\n## real\n\n<h2 id='mine'>raw</h2>\n\n## real\n"
    assert anchors(rendered(content)) == ["real", "mine", "real-1"]


def test_links_lead_where_the_resolver_says_and_those_to_nowhere_keep_their_words() -> None:
    content = (
        "[a](b.md#c) [gone](x.md) [o](https://e.example/?a=1&b=2) [m](mailto:a@e.example) [h](#top) <https://e.example>"
    )
    page = rendered(content, **{"b.md#c": "b.html#c"})
    assert re.findall(r' href="([^"]*)"', page) == [
        "b.html#c", "https://e.example/?a=1&amp;b=2", "mailto:a@e.example", "#top", "https://e.example",
    ]  # fmt: skip
    assert ">gone</a>" in page


def test_a_browser_never_asks_another_host_by_itself() -> None:
    page = rendered(
        "![badge](https://ci.example/b.svg) [![badge](https://ci.example/b.svg)](https://ci.example)"
        ' ![](//e.example/x.png) ![mine](a.png "t") <img src=https://e.example/y.png width=10>',
        **{"a.png": "../a.png"},
    )
    assert re.findall(r'<img [^>]*src="([^"]*)"', page) == ["../a.png"]
    assert '<a class="am-foreign" href="https://ci.example/b.svg" rel="noopener noreferrer">badge</a>' in page
    assert '<a href="https://ci.example" rel="noopener noreferrer">badge</a>' in page


def test_tables_tasks_footnotes_alerts_and_strikes_are_shown() -> None:
    page = rendered("| a |\n|:-:|\n| 1 |\n\n- [x] done\n\na[^1] ~~b~~\n\n> [!TIP]\n> c\n\n[^1]: d\n")
    for part in ('<td align="center">', '<input type="checkbox" disabled checked>', '<li id="fn-1">', "<del>b</del>"):
        assert part in page
    assert '<div class="markdown-alert markdown-alert-tip">' in page


def test_code_is_coloured_and_its_language_told() -> None:
    page = rendered('```python\nif x < 1:  # "why"\n    return "a" + 2.5\n```\n')
    assert '<pre data-language="python"><code class="language-python">' in page
    assert '<span class="hl-k">if</span> x &lt; <span class="hl-n">1</span>' in page
    assert '<span class="hl-c"># "why"</span>' in page


@given(st.text(max_size=200), st.sampled_from([*_FAMILIES, "diff", "unknown"]))
def test_colours_change_no_character_of_the_code(code: str, language: str) -> None:
    made = highlighted(html.escape(code, quote=False), language)
    plain = re.sub(r'</?span(?: class="hl-[csnkad]")?>', "", made)
    assert "<" not in plain
    assert html.unescape(plain) == html.unescape(html.escape(code, quote=False))


def test_equal_texts_become_equal_pages() -> None:
    html_of_somebody = "<p id=a class='anchor' title=b lang=en dir=ltr>x</p>"
    content = f"- [x] a\n- [ ] b\n\n![x](https://e.example/a.png) [a](b.md 'c') {html_of_somebody}\n"
    assert len({rendered(content, **{"b.md": "b.html"}) for _ in range(30)}) == 1


def test_front_matter_is_not_shown() -> None:
    assert rendered("---\ntitle: secret\n---\nbody\n") == "<p>body</p>\n"


HOSTILE = {
    "levels of quotation": ">" * MIB + " x",
    "levels of lists": "\n".join("  " * depth + "- x" for depth in range(1000)),
    "list after list": "- " * (MIB // 4) + "x",
    "open brackets": "[" * MIB,
    "emphasis": "*a **b " * (MIB // 7),
    "elements": "<div>" * (MIB // 5),
    "unknown elements": "<x-y>" * (MIB // 5),
    "formatting": "<b><i>" * (MIB // 6),
    "headings": "# a\n" * (MIB // 4),
    "footnotes": "[^1]" * (MIB // 4) + "\n\n[^1]: x",
    "code ticks": "`".join("`" * count for count in range(1400)),
    "entities": "&#x41;" * (MIB // 6),
    "comments": "<!--" * (MIB // 4),
    "tables in tables": "<table><td>" * (MIB // 11),
    "one long word": "a" * 2 * MIB,
    "100,000 links": "[a](b.md#c) " * 100_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.slow
def test_a_page_that_is_too_much_is_rendered_or_refused_before_anybody_waits_long(kind: str) -> None:
    start = time.monotonic()
    with suppress(PageTooDeep):
        assert len(rendered(HOSTILE[kind], **{"b.md#c": "b.html#c"})) < 48 * MIB
    assert time.monotonic() - start < LIMIT_S


def test_200_levels_of_nested_lists_are_shown() -> None:
    page = rendered("\n".join("  " * depth + f"- level {depth}" for depth in range(200)))
    assert page.count("<ul>") > 90
    assert "level 199" in page


def test_what_leads_nowhere_leads_nowhere() -> None:
    assert nowhere("a.md") is None


def test_a_long_page_is_the_same_from_a_process_of_its_own() -> None:
    content = "# Long\n\n[a](b.md#c) [gone](x.md) ![p](https://e.example/x.png)\n\n- [x] Ä \U0001f600\n" * 50

    def resolve(target: str) -> str | None:
        return {"b.md#c": "b.html#c"}.get(target)

    apart = BoundedRenderer(long=10).render(content, resolve=resolve)
    assert apart == MarkdownRenderer().render(content, resolve=resolve)


def test_a_long_page_that_is_too_deep_is_refused_by_its_own_process_with_its_words() -> None:
    with pytest.raises(PageTooDeep, match="line 3 quotes more than 50 levels deep"):
        BoundedRenderer(long=10).render("# x\n\n" + ">" * 100 + " y", resolve=nowhere)


def test_a_page_that_takes_too_long_is_refused() -> None:
    with pytest.raises(PageTooDeep, match=r"more than 0.05 s"):
        BoundedRenderer(long=10, limit_s=0.05).render("# x\n" * 1000, resolve=nowhere)
