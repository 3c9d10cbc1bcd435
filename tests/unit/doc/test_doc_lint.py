"""The rules on texts: what each finds, where, and what it leaves alone."""

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.doc.domain.documents.text import Text, read
from services.doc.domain.spaces.space import Level, Rules
from services.doc.domain.validation.catalogue import RULES, levels_of
from services.doc.domain.validation.page import Page
from services.doc.domain.validation.rule import Hit
from services.doc.domain.validation.writing import misspellings

MIB = 1024 * 1024


def text_of(content: str) -> Text:
    return read(content, "guides/start.md", max_bytes=4 * MIB)


def hits(rule: str, content: str, *, words: Sequence[str] = ()) -> list[Hit]:
    look = RULES[rule].look
    assert look is not None
    return list(look(Page("guides/start.md", text_of(content), words)))


def places(rule: str, content: str) -> list[tuple[int, int]]:
    return [(hit.line, hit.column) for hit in hits(rule, content)]


FOUND = [
    ("heading-increment", "# A\n\n### B\n", [(3, 0)]),
    ("duplicate-heading-id", "# A\n\n## Use it\n\n## Use it!\n", [(5, 0)]),
    ("single-title", "# A\n\ntext\n\n# B\n", [(5, 0)]),
    ("no-empty-heading", "# A\n\n##\n", [(3, 0)]),
    ("no-bare-url", "See https://example.org/a, please.\n", [(1, 5)]),
    ("no-bare-url", "Größe: https://example.org\n", [(1, 8)]),
    ("no-empty-link", "a [](b.md) b\n", [(1, 3)]),
    ("no-empty-link", "[words]()\n", [(1, 1)]),
    ("no-reversed-link", "Look (here)[start.md] now.\n", [(1, 6)]),
    ("image-alt-text", "![](a.png)\n", [(1, 1)]),
    ("code-fence-language", "```\nx\n```\n", [(1, 0)]),
    ("unclosed-fence", "a\n\n```py\nx\n", [(3, 0)]),
    ("unclosed-fence", "````py\n```\nx\n", [(1, 0)]),
    ("unresolved-merge-markers", "a\n<<<<<<< yours\nb\n=======\nc\n>>>>>>> theirs\n", [(2, 0)]),
    ("unresolved-merge-markers", "```py\n<<<<<<< yours\nb\n=======\nc\n>>>>>>> theirs\n```\n", [(2, 0)]),
    ("trailing-whitespace", "a \nb  \nc   \n\t\n", [(1, 2), (3, 2), (4, 1)]),
    ("no-hard-tabs", "a\n\nb\tc\n", [(3, 2)]),
    ("line-length", f"{'word ' * 30}\n", [(1, 121)]),
    ("table-shape", "| a | b |\n|---|---|\n| 1 |\n| 1 | 2 |\n| 1 | 2 | 3 |\n", [(3, 0), (5, 0)]),
    ("list-depth", "\n".join("  " * depth + "- x" for depth in range(7)), [(7, 0)]),
    ("no-html", "a <b>c</b>\n", [(1, 3)]),
    ("unsafe-html", "<script>alert(1)</script>\n", [(1, 1)]),
    ("unsafe-html", 'a <a href="x" onclick=go()>b</a>\n', [(1, 3)]),
    ("unsafe-html", "a [b](<java\tscript:alert(1)>)\n", [(1, 3)]),
    ("unsafe-html", "![x](data:image/svg+xml;base64,AAAA)\n", [(1, 1)]),
    ("page-size", "word\n" * 50_000, [(0, 0)]),
    ("spelling", "We recieve it.\n", [(1, 4)]),
]

LEFT_ALONE = [
    ("heading-increment", "## A\n\n### B\n\n# C\n"),
    ("duplicate-heading-id", "# Step 1\n\n# Step-2\n\n## Version 2-1\n"),
    ("single-title", "---\ntitle: A\n---\n# A\n\n## B\n"),
    ("no-bare-url", "<https://a.org> [https://a.org](b.md) `https://a.org`\n\n    https://a.org\n"),
    ("no-bare-url", '<a href="https://a.org">https://a.org</a>\n'),
    ("no-empty-link", "[![a picture](b.png)](c.md) [x](#y) [![](b.png)](c.md)\n"),
    ("no-reversed-link", "f(x)[0] and `(a)[b.md]` and (see)[^1]\n\n[^1]: note.\n"),
    ("image-alt-text", "![A chart](a.png)\n"),
    ("code-fence-language", "```py\nx\n```\n\n    indented\n"),
    ("unclosed-fence", "```py\nx\n```\n\n> ~~~sh\n> y\n> ~~~\n\n- a\n\n  ```\n  z\n  ```\n"),
    ("unresolved-merge-markers", "A title\n=======\n\n>>>>>>> quoted\n\n```diff\n<<<<<<< a\n=======\n>>>>>>> b\n```\n"),
    ("trailing-whitespace", "a  \r\nb\r\n\n```py\nx \n```\n"),
    ("no-hard-tabs", "```make\nall:\n\techo\n```\n"),
    ("line-length", f"{'x' * 300}\n\n| {'word ' * 30} |\n|---|\n"),
    ("table-shape", "| a | b |\n|---|:--|\n| `1\\|2` | 3 |\n\na | b\n--|--\n1 | 2\n\n> | a |\n> |---|\n> | b |\n"),
    ("list-depth", "- a\n  - b\n    1. c\n"),
    ("no-html", "<!-- a comment --> x < y\n"),
    ("unsafe-html", "a <kbd>x</kbd> <br> [a](b.md) `<script>`\n"),
    ("page-size", "word\n" * 1_000),
    ("spelling", "`recieve` receive\n\n```text\nrecieve\n```\n"),
]


@pytest.mark.parametrize(("rule", "content", "expected"), FOUND)
def test_a_rule_finds_what_breaks_it_and_says_where(rule: str, content: str, expected: list[tuple[int, int]]) -> None:
    assert places(rule, content) == expected


@pytest.mark.parametrize(("rule", "content"), LEFT_ALONE)
def test_a_rule_leaves_alone_what_is_right(rule: str, content: str) -> None:
    assert hits(rule, content) == []


def test_every_rule_that_looks_at_a_page_is_tried_out_here() -> None:
    looking = {name for name, rule in RULES.items() if rule.look is not None}
    assert looking == {rule for rule, _, _ in FOUND}


def test_words_of_the_space_are_spelt_right() -> None:
    assert hits("spelling", "We Recieve it.\n", words=["recieve"]) == []


def test_no_word_of_the_spelling_list_is_the_right_one_of_another() -> None:
    wrong = misspellings()
    assert len(wrong) > 500
    assert {right for right in wrong.values() if right in wrong} == set()


def test_levels_of_a_space_stand_above_those_of_the_rules() -> None:
    levels = levels_of(Rules(levels={"spelling": Level.OFF, "line-length": Level.REFUSE}))
    assert "spelling" not in levels
    assert levels["line-length"] is Level.REFUSE
    assert levels["broken-link"] is Level.WARN
    assert levels["unresolved-merge-markers"] is Level.REFUSE


MARKS = "\n\t #*_`~[]()<>!|-+=:/\\\"'&1.a<html script https://x.yü\r"


@given(st.text(alphabet=st.sampled_from(MARKS), max_size=400) | st.text(max_size=300))
def test_no_text_makes_a_rule_fail_and_every_place_is_within_the_text(content: str) -> None:
    if "\x00" in content:
        return
    text = text_of(f"\n{content}")  # no front matter: that has errors of its own
    page = Page("a.md", text)
    lines = text.content.split("\n")
    for rule in RULES.values():
        for hit in rule.look(page) if rule.look else ():
            assert 0 <= hit.line <= len(lines)
            assert 0 <= hit.column <= len(lines[max(hit.line, 1) - 1]) + 1
            assert hit.message


LARGE = [
    "\n".join(f"[a{number}](p{number}.md)" for number in range(100_000)),
    "\n".join("  " * depth + "- x" for depth in range(200)),
    "word " * (2 * MIB // 5),
    " " * MIB + "x",
    "](" * MIB,
    "<a " * (MIB // 2),
    "(a)[" * (MIB // 4),
    "> " * 20_000,
    "|" * MIB + "\n" + "|-" * (MIB // 2),
]


@pytest.mark.parametrize("content", LARGE, ids=lambda content: repr(content[:12]))
@pytest.mark.slow
def test_large_and_hostile_pages_are_read_in_bounded_time(content: str) -> None:
    """What is not linear in the size takes hours on these, not seconds."""
    text = text_of(content)
    began = time.process_time()
    page = Page("a.md", text)
    for rule in RULES.values():
        for _ in rule.look(page) if rule.look else ():
            pass
    assert time.process_time() - began < 60
