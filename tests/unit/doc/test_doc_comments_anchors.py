"""Places in texts: they follow what they mark, and say so when it is gone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import ValidationError
from services.doc.domain.comments.anchoring import Place, Shift
from services.doc.domain.comments.comment import NewComment, Span, mentions

OLD = "# Start\n\nFirst the pump is switched on.\n\nThen wait a minute.\n"
TEXTS = st.text(alphabet="ab \né😀", max_size=60)


def moved(old: str, new: str, quote: str) -> str | None:
    """What stands at the place now; None when it is lost."""
    start = old.index(quote)
    place = Shift(old, new).of(start, start + len(quote), quote)
    return None if place.lost else new[place.start : place.end]


def test_a_place_moves_with_what_is_written_before_it() -> None:
    assert moved(OLD, f"Hello.\n\n{OLD}", "the pump") == "the pump"


def test_a_place_stays_when_its_own_line_changes_around_it() -> None:
    new = OLD.replace("First the pump is switched on", "At first, the pump must be switched off")
    assert moved(OLD, new, "the pump") == "the pump"


def test_a_place_grows_with_what_is_written_into_it() -> None:
    assert moved(OLD, OLD.replace("the pump", "the old pump"), "First the pump is") == "First the old pump is"


def test_a_place_follows_its_text_to_another_paragraph() -> None:
    new = "# Start\n\nThen wait a minute.\n\nFirst the pump is switched on.\n"
    assert moved(OLD, new, "First the pump is switched on.") == "First the pump is switched on."
    assert moved(OLD, new, "wait a minute") == "wait a minute"


def test_a_text_that_is_gone_is_lost_near_where_it_was() -> None:
    new = OLD.replace("First the pump is switched on.\n\n", "")
    start = OLD.index("the pump")
    place = Shift(OLD, new).of(start, start + 8, "the pump")
    assert place.lost
    assert new[: place.start] == "# Start\n\n"


def test_the_nearest_of_several_equal_texts_is_taken() -> None:
    old = "x\n" * 20 + "TODO\n" + "y\n" * 20
    new = "TODO\n" + "z\n" * 30 + "TODO\n" + "w\n" * 20
    place = Shift(old, new).of(40, 44, "TODO")
    assert new[place.start : place.end] == "TODO"


@given(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
def test_what_is_not_touched_is_found_wherever_it_went(
    before: str, after: str, new_before: str, new_after: str, middle: str
) -> None:
    quote = f"<{middle}>"
    old, new = before + quote + after, new_before + quote + new_after
    place = Shift(old, new).of(len(before), len(before) + len(quote), quote)
    assert 0 <= place.start <= place.end <= len(new)
    assert not place.lost
    if middle.strip():
        assert "<" in new[place.start : place.end] or ">" in new[place.start : place.end]


@given(TEXTS, TEXTS, st.integers(0, 60), st.integers(1, 30))
def test_any_place_of_any_text_leads_into_the_new_one(old: str, new: str, start: int, size: int) -> None:
    start = min(start, len(old))
    end = min(start + size, len(old))
    place = Shift(old, new).of(start, end, old[start:end])
    assert 0 <= place.start <= place.end <= len(new)
    assert place.lost or place.start < place.end or start == end
    assert Shift(old, old).of(start, end, old[start:end]) == Place(start, end) or start == end


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@ann and @Bob.", ["ann", "bob"]),
        ("(@ann), @ann-lee, @dan@example.org!", ["ann", "ann-lee", "dan@example.org"]),
        ("ann@example.org, a@b, //@c, path/@d", []),
        ("`@code` and\n```\n@fence\n```\n@real", ["real"]),
        ("@ @. @-x nobody", []),
    ],
)
def test_names_behind_an_at_are_mentions(text: str, names: list[str]) -> None:
    assert mentions(text) == names


def test_an_anchor_belongs_to_the_beginning_of_a_thread_on_a_document() -> None:
    for wrong in ({"thread_id": "comment_1"}, {"review_id": "review_1"}):
        with pytest.raises(ValidationError, match="anchor"):
            NewComment(text="x", span=Span("rev_1", 0, 1), **wrong)
