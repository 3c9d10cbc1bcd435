"""Words, questions, spelling, snippets and the one order out of several: what search does without any index."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import ValidationError
from services.doc.domain.search.fusion import POOL, Candidates, SectionHit, fuse
from services.doc.domain.search.page import MAX_LINKS, MAX_SECTIONS, exact_of, place_of, read_page
from services.doc.domain.search.question import MAX_PHRASES, MAX_QUERY, parse
from services.doc.domain.search.snippet import LENGTH, snippet
from services.doc.domain.search.spelling import Vocabulary
from services.doc.domain.search.tokens import MAX_TOKEN, bag, known_tokens, names, runs, tokens_of
from tests.unit.doc.doc_search_heads import head


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Configurations", "configur"),
        ("asyncio.run()", "asyncio.run run asyncio"),
        ("os.path.join", "os.path.join path.join join os path"),
        ("wait_for", "wait_for wait for"),
        ("--no-verify", "no-verify no verifi"),
        ("CamelCase", "camelcase camelcas camel case"),
        ("HTTPServer", "httpserver http server"),
        ("C++ and C#", "c++ c and c# c"),
        ("Café Ünïcode", "cafe unicod"),
        ("数据库", "数据 据库"),
        ("Python语言", "python 语言"),
        ("v1.2.3", "v1.2.3 2.3 3 v1 v 1 2"),
    ],
)
def test_a_text_becomes_stems_and_identifiers_their_parts(text: str, tokens: str) -> None:
    assert bag(text) == tokens


@given(st.text(max_size=300))
def test_tokens_have_no_spaces_and_bounded_length(text: str) -> None:
    found = bag(text).split()
    assert " ".join(found) == bag(text)
    assert all(0 < len(token) <= MAX_TOKEN for token in found)
    assert found == [token for run in runs(text) for token in known_tokens(run)]


@pytest.mark.parametrize("text", ["a." * 500_000, "x" * 1_000_000, "a+" * 300_000, "-" * 1_000_000, "语" * 300_000])
def test_a_megabyte_of_anything_is_read_within_a_moment(text: str) -> None:
    began = time.process_time()
    bag(text)
    assert time.process_time() - began < 20


def test_names_at_the_beginning_of_lines_are_told() -> None:
    text = "asyncio.run(main)\nRuns it.\n- --force\n  do_it()\nplain words"
    assert names(text) == ["asyncio.run", "--force", "do_it"]


def test_a_title_is_the_same_without_stop_words() -> None:
    assert exact_of("How to roll back a release") == exact_of("roll back release")
    assert exact_of("roll back") != exact_of("back roll")
    assert exact_of("") == exact_of("???") == 0


def test_a_question_is_words_without_stop_words_and_phrases_with_them() -> None:
    question = parse('how to "roll back the release" of wait_for')
    assert question.words == ["roll", "back", "release", "wait_for"]
    assert question.phrases == (("roll", "back", "the", "releas"),)


def test_stop_words_count_where_there_is_nothing_else() -> None:
    assert parse("to be or not to be").words == ["to", "be", "or", "not"]


@pytest.mark.parametrize("query", ["", "  ", "x" * (MAX_QUERY + 1), "a\x07b", "\x00"])
def test_what_is_no_question_is_refused(query: str) -> None:
    with pytest.raises(ValidationError):
        parse(query)


@given(st.text(min_size=1, max_size=MAX_QUERY))
def test_whatever_else_is_typed_is_a_question(query: str) -> None:
    try:
        question = parse(query)
    except ValidationError:
        assert not query.strip() or any(ord(char) < 32 or ord(char) == 127 for char in query)
        return
    assert len(question.phrases) <= MAX_PHRASES


WORDS = Vocabulary(
    {"configuration": 90, "conflagration": 1, "password": 50, "index": 20, "indexes": 2, "node": 5, "nodes": 4}
)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("confgiuration", "configuration"),
        ("configuratoin", "configuration"),
        ("pasword", "password"),
        ("passwrod", "password"),
        ("ndex", "index"),
        ("indxe", "index"),
    ],
)
def test_the_likeliest_word_comes_first(typed: str, meant: str) -> None:
    assert WORDS.nearest(typed)[0] == meant


@pytest.mark.parametrize("typed", ["abc", "xyzzyxyzzy", "wait_for", "", "x" * 10_000, "12345"])
def test_what_is_too_short_or_like_nothing_is_not_corrected(typed: str) -> None:
    assert WORDS.nearest(typed) == []


def test_a_snippet_shows_the_place_with_most_of_the_words() -> None:
    text = "Nothing here. " * 60 + "Here the rollback_release of configurations happens. " + "Nothing there. " * 60
    made = snippet(text, frozenset({"rollback", "configur"}))
    assert [made.text[start:end] for start, end in made.marks] == ["rollback_release", "configurations"]
    assert made.text.startswith("… ")
    assert made.text.endswith(" …")
    assert len(made.text) <= LENGTH + 4


def test_pairs_of_characters_in_a_row_are_marked_as_one() -> None:
    made = snippet("データベースの設定方法", frozenset({"設定", "定方", "方法"}))
    assert [made.text[start:end] for start, end in made.marks] == ["設定方法"]


@given(st.text(max_size=2_000), st.sets(st.text(min_size=1, max_size=8).map(str.lower), max_size=5))
def test_marks_lie_in_their_snippet(text: str, terms: set[str]) -> None:
    made = snippet(" ".join(text.split()), frozenset(terms))
    assert len(made.text) <= LENGTH + 4
    assert all(0 <= start < end <= len(made.text) for start, end in made.marks)
    places = [place for mark in made.marks for place in mark]
    assert places == sorted(places)  # one after the other, none in another


@given(st.lists(st.text(alphabet="abcdeéü_. ", min_size=1, max_size=20), max_size=30))
def test_what_is_marked_is_what_was_looked_for(pieces: list[str]) -> None:
    text = " ".join(" ".join(pieces).split())
    terms = frozenset(token for run in runs(text)[:3] for token in tokens_of(run))
    for start, end in (made := snippet(text, terms)).marks:
        assert terms & {token for run in runs(made.text[start:end]) for token in tokens_of(run)}


def test_scores_of_several_orders_add_up() -> None:
    found = Candidates(
        sections=[SectionHit(1, 0, 10.0), SectionHit(2, 1, 9.0), SectionHit(1, 2, 8.0)],
        all_words=[(2, 10.0)],
        links={3: 4.0},
    )
    ranked = fuse(found)
    assert [each.page for each in ranked] == [2, 1, 3]
    assert [each.section for each in ranked] == [1, 0, None]
    assert ranked[0].score == pytest.approx(12.0)
    assert ranked[1].score == pytest.approx(10.24)


def test_the_very_title_and_the_very_heading_are_worth_more_and_the_heading_is_shown() -> None:
    sections = [SectionHit(1, 0, 10.0), SectionHit(2, 1, 9.0), SectionHit(3, 2, 9.5), SectionHit(3, 3, 5.0, exact=True)]
    ranked = fuse(Candidates(sections=sections, exact_titles=frozenset({2})))
    assert [(each.page, each.section) for each in ranked] == [(2, 1), (3, 3), (1, 0)]


def test_what_is_near_by_meaning_is_among_the_first_without_any_word() -> None:
    sections = [SectionHit(page, page, 10.0 - page) for page in range(9)]
    ranked = fuse(Candidates(sections=sections, nearest=[99, 3]))
    assert [each.page for each in ranked[:2]] == [3, 0]
    assert 99 in [each.page for each in ranked[:8]]


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0.1, 30)), max_size=300))
def test_an_order_is_of_bounded_length_without_repeats_and_always_the_same(hits: list[tuple[int, float]]) -> None:
    ordered = sorted(hits, key=lambda each: -each[1])
    found = Candidates(sections=[SectionHit(page, at, score) for at, (page, score) in enumerate(ordered)])
    ranked = fuse(found)
    assert len({each.page for each in ranked}) == len(ranked) <= POOL
    assert [each.score for each in ranked] == sorted((each.score for each in ranked), reverse=True)
    assert ranked == fuse(found)


def test_a_page_is_read_into_sections_and_links() -> None:
    links = "[the guide](../guide.md#top), [it](../guide.md), [it](../guide.md), [out](https://x.y), [here](#two)"
    content = f"---\ntags: [x]\n---\n# Title\n\nSee {links}.\n\n## Two\n\nText\n"
    page = read_page(head("docs/a.md", title="Title"), content)
    assert [(each.heading, each.anchor) for each in page.sections] == [("Title", "title"), ("Two", "two")]
    assert [(each.target, each.bag) for each in page.links] == [
        (place_of("docs", "guide.md"), "the guid"), (place_of("docs", "guide.md"), "it"),
    ]  # fmt: skip
    assert "two two two text" in page.sections[1].bag


def test_a_page_of_too_much_is_bounded_and_loses_no_words() -> None:
    content = "".join(f"## H{number}\n\n[l{number}](p{number}.md)\n\n" for number in range(MAX_SECTIONS + 500))
    page = read_page(head("a.md"), content)
    assert len(page.sections) == MAX_SECTIONS
    assert len(page.links) == MAX_LINKS
    assert f"h{MAX_SECTIONS + 499}" in page.sections[-1].bag.split()


def test_an_empty_page_has_one_section_so_that_its_title_is_found() -> None:
    page = read_page(head("a.md", title="Only a title"), "")
    assert [each.bag for each in page.sections] == ["onli a titl"]
