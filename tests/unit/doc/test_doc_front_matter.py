"""Front matter: what is read, and that neither bombs nor nonsense get through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import ValidationError
from services.doc.domain.documents import front_matter
from services.doc.domain.documents.front_matter import FrontMatter


def matter(yaml: str) -> str:
    return f"---\n{yaml}\n---\n# Start\n"


def refused(content: str) -> str:
    with pytest.raises(ValidationError) as error:
        front_matter.read(content)
    assert [each.field for each in error.value.violations] == ["content"]
    return error.value.message


def test_names_and_values_are_read_and_the_body_is_found() -> None:
    found = front_matter.read(matter("title: Start \ntags: [a, b, a]\ncount: 3\nnested: {x: [1, null]}"))
    assert found.values == {"title": "Start", "tags": ["a", "b", "a"], "count": 3, "nested": {"x": [1, None]}}
    assert (found.text("title"), found.text("count"), found.texts("tags")) == ("Start", "", ("a", "b"))
    assert found.body_line == 6
    assert front_matter.body_of(matter("a: 1")) == "# Start\n"


def test_a_list_may_be_one_text_with_commas() -> None:
    assert front_matter.read(matter("tags: a, b ,, a")).texts("tags") == ("a", "b")
    assert front_matter.read(matter("tags: 3")).texts("tags") == ()


@pytest.mark.parametrize(
    "content",
    ["", "# Start\n", "---\n", "---\nno end\n", "--- \na: 1\n---\n", " ---\na: 1\n---\n", "a\n---\nb: 1\n---\n"],
)
def test_a_document_without_front_matter_has_none(content: str) -> None:
    assert front_matter.read(content) == FrontMatter()
    assert front_matter.body_of(content) == content


@pytest.mark.parametrize(
    "content", ["---\n---\n# A\n", "---\n# only a comment\n---\n", "---\r\na: 1\r\n---\r\n", "---\na: 1\n...\nb\n"]
)
def test_front_matter_may_be_empty_or_end_in_other_ways(content: str) -> None:
    assert front_matter.read(content).body_line > 0


def test_what_is_no_json_becomes_text() -> None:
    found = front_matter.read(
        matter("day: 2026-01-02\nat: 2026-01-02T03:04:05Z\nnumber: .nan\nbytes: !!binary aGk=\n1: one")
    )
    assert found.values == {
        "day": "2026-01-02", "at": "2026-01-02T03:04:05+00:00", "number": "nan", "bytes": "6869", "1": "one",
    }  # fmt: skip


def test_a_bomb_of_aliases_is_refused_at_its_first_alias() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{n}: &{n} [*{p},*{p},*{p}]\n" for p, n in zip("abcde", "bcdef"))  # noqa: B905 - a bomb
    assert refused(matter(bomb)).startswith("front matter, line 3: aliases (*name) are not allowed here")


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("[" * 50 + "]" * 50, "levels"),
        ("a: [" + "1," * 6_000 + "1]", "5000 values"),
        ("a: '" + "x" * 70_000 + "'", "bytes"),
        ("- a\n- b", "must be names with values"),
        ("just text", "must be names with values"),
        ("a: b: c", "line 2"),
        ("a: 1\nb: [1", "line"),
        ("a: !!python/object/apply:os.system ['true']", "line 2"),
        ("a: \x01", "no YAML"),
        ("{a: 1}: b\n{c: ]", "line"),
        ("a: 9999-99-99", "no YAML"),
        ("? [a]\n: b", "line"),
        ('title: "a\\0b"', "U+0000"),
        ('a: [{"\\ud83d": 1}]', "U+D83D"),
        ("order: 0x" + "f" * 1_000, "1000 bits"),
    ],
)
def test_nonsense_is_refused_with_its_place(yaml: str, words: str) -> None:
    assert words in refused(matter(yaml))


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_as_what_it_is(text: str) -> None:
    content = f"---\n{text}\n---\n"
    try:
        names = list(front_matter.read(content).values)
    except ValidationError:
        assert refused(content)
        return
    assert all(isinstance(name, str) for name in names)
