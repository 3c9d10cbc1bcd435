"""Where lists by time and by number go on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from automesh.core import paging
from automesh.core.errors import ValidationError
from services.doc.convert import cursors

MOMENT = datetime(2026, 11, 26, 18, 30, 0, 123456, tzinfo=UTC)


def test_a_token_leads_back_to_the_instant_and_the_key() -> None:
    token = cursors.before_token(MOMENT, "notes of May", filters=["drafts"])
    assert cursors.before(token, filters=["drafts"]) == (MOMENT, "notes of May")
    assert cursors.before("", filters=["drafts"]) is None


@pytest.mark.parametrize("after", ["", "yesterday key", '["2026-11-26T00:00:00+00:00", "key"]', "7"])
def test_a_token_that_holds_no_instant_is_refused_with_what_to_do(after: str) -> None:
    token = paging.encode_token(after, filters="x")
    with pytest.raises(ValidationError, match="leave it empty to start over"):
        cursors.before(token, filters="x")


def test_a_token_leads_back_to_the_number_and_the_key() -> None:
    token = cursors.count_token(7, "guides/a b.md", filters=["findings"])
    assert cursors.count(token, filters=["findings"]) == (7, "guides/a b.md")
    assert cursors.count("", filters=["findings"]) is None


@pytest.mark.parametrize("after", ["", "-1", "1e999", "9" * 19, "9" * 5_000, "\u0663", "x 7"])
def test_a_token_that_holds_no_number_of_a_database_is_refused_with_what_to_do(after: str) -> None:
    token = paging.encode_token(after, filters="x")
    with pytest.raises(ValidationError, match="leave it empty to start over"):
        cursors.count(token, filters="x")
