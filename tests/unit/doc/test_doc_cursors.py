"""Where lists by time go on."""

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
