"""Paging: sizes are bounded, and a token works with the filters it was made with and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import ValidationError
from automesh.core.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, decode_token, encode_token, page_size

FILTERS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=3)


@given(st.integers(min_value=1))
def test_a_page_is_never_larger_than_the_maximum_nor_than_asked(asked: int) -> None:
    assert page_size(asked) == min(asked, MAX_PAGE_SIZE)


def test_no_page_size_means_the_default() -> None:
    assert page_size(0) == DEFAULT_PAGE_SIZE


@given(st.integers(max_value=-1))
def test_a_negative_page_size_is_an_error_that_names_the_field(asked: int) -> None:
    with pytest.raises(ValidationError, match="negative") as caught:
        page_size(asked)
    assert caught.value.violations[0].field == "page_size"


@given(st.text(st.characters(exclude_characters="\0")), FILTERS)
def test_a_token_gives_back_the_key_it_was_made_with(after: str, filters: dict[str, object]) -> None:
    token = encode_token(after, filters=filters)
    assert decode_token(token, filters=filters) == after
    assert "=" not in token


@given(FILTERS, FILTERS)
def test_a_token_of_other_filters_is_refused(mine: dict[str, object], other: dict[str, object]) -> None:
    token = encode_token("task_1", filters=mine)
    if mine == other:
        assert decode_token(token, filters=other) == "task_1"
    else:
        with pytest.raises(ValidationError, match="other filters"):
            decode_token(token, filters=other)


def test_the_empty_token_means_the_first_page() -> None:
    assert decode_token("", filters={"status": "RUNNING"}) is None


@given(st.text(min_size=1, max_size=60))
def test_a_token_that_we_did_not_make_is_an_error_that_names_the_field(token: str) -> None:
    with pytest.raises(ValidationError) as caught:
        decode_token(token)
    assert caught.value.violations[0].field == "page_token"


def test_a_token_with_a_key_that_no_database_could_look_for_is_refused() -> None:
    with pytest.raises(ValidationError, match="start over"):
        decode_token(encode_token("a\0b"))


@pytest.mark.parametrize(
    "body", ["[1, 2]", "[]", "{}", "null", '["a"]', '["a", "b", "c"]', '{"a": 1, "b": 2}', "[" * 100_000]
)
def test_a_token_with_another_body_is_refused(body: str) -> None:
    import base64

    with pytest.raises(ValidationError):
        decode_token(base64.urlsafe_b64encode(body.encode()).decode().rstrip("="))
