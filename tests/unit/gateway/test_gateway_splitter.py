"""JSON values cut out of a stream, whatever the chunks."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.codec import BadValue
from gateway.refusals import BodyTooLarge
from gateway.splitter import JsonSplitter


def split(chunks: list[bytes], limit: int = 10_000) -> list[bytes]:
    splitter = JsonSplitter(limit)
    values = [value for chunk in chunks for value in splitter.feed(chunk)]
    last = splitter.finish()
    return [*values, *([last] if last is not None else [])]


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.lists(VALUES, max_size=5), st.integers(1, 7), st.sampled_from(["\n", " \r\n\t"]), st.booleans())
def test_values_come_out_as_they_went_in(values: list[Any], step: int, between: str, ascii_only: bool) -> None:
    text = "".join(json.dumps(value, ensure_ascii=ascii_only) + between for value in values).encode()
    chunks = [text[at : at + step] for at in range(0, len(text), step)]
    assert [json.loads(value) for value in split(chunks)] == values


def test_values_that_end_by_themselves_need_nothing_between() -> None:
    assert split([b'{"a":"}"}[1]"x"{}']) == [b'{"a":"}"}', b"[1]", b'"x"', b"{}"]


@pytest.mark.parametrize("text", [b'{"a": 1', b'"abc', b"[[]", b'{"a\\'])
def test_a_value_that_never_ends_is_refused(text: bytes) -> None:
    with pytest.raises(BadValue):
        split([text])


def test_a_value_over_the_limit_is_refused_before_it_is_whole() -> None:
    with pytest.raises(BodyTooLarge):
        split([b'{"a": "', b"x" * 50, b"x" * 60], limit=100)


def test_many_small_values_are_not_held_to_the_limit_of_one() -> None:
    assert len(split([b'{"a":1}\n' * 100], limit=100)) == 100
