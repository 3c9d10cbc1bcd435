"""What is read out of a text: title, tags, owner, headings, sections, links, anchors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.anchors import anchor_of
from automesh.core.errors import ValidationError
from services.doc.domain.documents.text import Text, read
from services.doc.domain.errors import PageTooLarge
from services.doc.domain.markdown.outline import outline


def text(content: str, path: str = "guides/first-steps.md") -> Text:
    return read(content, path, max_bytes=1_000_000)


# ---------------------------------------------------------------------- the text as a whole
@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("---\ntitle: Front\n---\n# Heading\n", "Front"),
        ("---\ntitle: [not, text]\n---\n# Heading\n", "Heading"),
        ("Words\n\n## *Second* `level`\n", "Second level"),
        ("no heading\n", "First steps"),
        ("", "First steps"),
        ("# " + "x" * 1000, "x" * 300),
    ],
)
def test_a_title_is_what_the_text_says_else_what_the_path_says(content: str, title: str) -> None:
    assert text(content).title == title
    assert text(content).has_title == (title != "First steps")


def test_front_matter_says_tags_owner_and_when_to_look_again() -> None:
    found = text("---\ntags: [a, b]\nowner: kim\nreview: 2027-03-01\n---\n")
    assert (found.tags, found.owner, str(found.review_at)) == (("a", "b"), "kim", "2027-03-01 00:00:00+00:00")
    assert str(text("---\nreview: '2027-03-01T10:00:00+02:00'\n---\n").review_at) == "2027-03-01 10:00:00+02:00"
    assert text("---\nreview: some day\n---\n").review_at is None


def test_tags_are_bounded() -> None:
    many = ", ".join(f"tag{number}" for number in range(200))
    assert len(text(f"---\ntags: [{many}, {'x' * 500}]\n---\n").tags) == 50


def test_a_text_with_a_nul_or_of_too_many_bytes_is_refused() -> None:
    with pytest.raises(ValidationError, match="line 3 has a NUL"):
        text("a\nb\nc\x00d\n")
    with pytest.raises(PageTooLarge) as error:
        read("ä" * 60, "a.md", max_bytes=100)
    assert (error.value.metadata["size"], error.value.metadata["limit"]) == ("120", "100")


# ---------------------------------------------------------------------- outline
def test_headings_have_anchors_as_readers_know_them() -> None:
    found = outline("# Über uns!\n\n## API `v2` & more\n\n## API `v2` & more\n\nSetext\n------\n")
    assert [(each.level, each.text, each.anchor, each.line) for each in found.headings] == [
        (1, "Über uns!", "über-uns", 1),
        (2, "API v2 & more", "api-v2--more", 3),
        (2, "API v2 & more", "api-v2--more-1", 5),
        (2, "Setext", "setext", 7),
    ]


def test_an_anchor_that_a_heading_has_by_itself_is_not_given_twice() -> None:
    found = outline("# A\n\n# A-1\n\n# A\n")
    assert [each.anchor for each in found.headings] == ["a", "a-1", "a-2"]


def test_sections_are_plain_text_between_headings() -> None:
    found = outline(
        "---\nsecret: 1\n---\nBefore.\n\n# One\n\n*Some* `code`\n\n- item\n\n# Two\n\n| a | b |\n|---|---|\n| c | d |\n"
    )
    assert [(each.heading.text if each.heading else "", each.text) for each in found.sections] == [
        ("", "Before."),
        ("One", "Some code\nitem"),
        ("Two", found.sections[2].text),
    ]
    assert found.sections[2].text.split() == ["a", "b", "c", "d"]
    assert "secret" not in "".join(each.text for each in found.sections)


def test_links_are_found_with_their_lines_in_markdown_and_in_html() -> None:
    content = (
        "[one](a.md) and ![two](b.png)\n\n[three][ref]\n\n<a href='c.md'>x</a> <img src=d.png>\n\n`[no](no.md)`\n\n"
        "```\n[no](no.md)\n```\n\n[ref]: e.md\n"
    )
    assert [(each.target, each.line, each.picture) for each in outline(content).links] == [
        ("a.md", 1, False),
        ("b.png", 1, True),
        ("e.md", 3, False),
        ("c.md", 5, False),
        ("d.png", 5, True),
    ]


def test_ids_in_html_are_anchors_too() -> None:
    found = outline('# One\n\n<div id="two"></div>\n\nText <a name=three></a>.\n')
    assert found.anchors == {"one", "two", "three"}


@pytest.mark.parametrize(
    "content",
    [
        "> " * 200 + "deep",
        "- " * 200 + "deep",
        "[" * 10_000,
        "*" * 10_000,
        "<" * 10_000,
        "`" * 10_001,
        "![" * 5_000 + "](" * 5_000,
    ],
)
def test_text_that_is_hard_to_parse_is_read_quickly(content: str) -> None:
    found = outline(content)
    assert len(found.sections) <= 1


@given(st.text(max_size=300))
def test_every_text_is_markdown(content: str) -> None:
    found = outline(content)
    assert all(line >= 1 for line in [*(each.line for each in found.headings), *(each.line for each in found.links)])
    assert {each.anchor for each in found.headings} <= found.anchors
    assert len({each.anchor for each in found.headings}) == len(found.headings)


@given(st.text(max_size=60))
def test_an_anchor_has_letters_digits_and_dashes_only(heading: str) -> None:
    assert all(char.isalnum() or char in "-_" or not char.isascii() for char in anchor_of(heading))
