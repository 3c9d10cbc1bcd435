"""Ids: their shape, that they sort by time, and that nothing else passes for one."""

import time

from hypothesis import given
from hypothesis import strategies as st

from automesh.core.ids import is_id, new_id

PREFIXES = st.from_regex(r"[a-z]{1,12}", fullmatch=True)


@given(PREFIXES)
def test_a_new_id_is_an_id_of_its_prefix_and_of_no_other(prefix: str) -> None:
    made = new_id(prefix)
    assert is_id(made, prefix)
    assert not is_id(made, prefix + "x")
    assert not is_id(made, "x" + prefix)


def test_an_id_holds_nothing_that_a_url_or_a_custom_verb_would_trip_over() -> None:
    assert set(new_id("task")) <= set("task_0123456789abcdefghjkmnpqrstvwxyz")


def test_ids_made_at_once_differ() -> None:
    assert len({new_id("task") for _ in range(1000)}) == 1000


def test_an_id_made_in_a_later_millisecond_sorts_later() -> None:
    made = []
    for _ in range(5):
        made.append(new_id("task"))
        now = time.time_ns() // 1_000_000
        while time.time_ns() // 1_000_000 == now:  # at most a millisecond
            pass
    assert made == sorted(made)


@given(st.text(max_size=40))
def test_text_that_was_not_made_here_is_not_an_id(text: str) -> None:
    assert not is_id(text, "task") or len(text) == len(new_id("task"))


def test_an_id_with_a_letter_outside_the_alphabet_or_a_line_break_is_refused() -> None:
    made = new_id("task")
    assert not is_id(made[:-1] + "u", "task")
    assert not is_id(made[:-1] + "I", "task")
    assert not is_id(made + "\n", "task")
    assert not is_id("", "task")
