"""How the texts of a site are read: in lots that fit into memory, and not at all when there are too many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.doc.domain.publishing.building import (
    BYTES_AT_ONCE,
    MAX_BYTES,
    MAX_PAGES,
    TEXTS_AT_ONCE,
    _check_size,
    _lots,
)
from services.doc.domain.publishing.errors import BuildFailed
from services.doc.domain.publishing.ports import SiteSource


@given(st.lists(st.integers(0, BYTES_AT_ONCE // 2), max_size=400))
def test_every_text_is_in_one_lot_in_its_order_and_no_lot_is_too_large(sizes: list[int]) -> None:
    wanted = [(str(number), size) for number, size in enumerate(sizes)]
    lots = list(_lots(wanted))
    assert [each for lot in lots for each in lot] == [sha256 for sha256, _ in wanted]
    weights = dict(wanted)
    for lot in lots:
        assert 0 < len(lot) <= TEXTS_AT_ONCE
        assert sum(weights[each] for each in lot) <= BYTES_AT_ONCE


def test_a_text_that_is_larger_than_a_lot_is_one_of_its_own() -> None:
    assert list(_lots([("a", 1), ("b", 2 * BYTES_AT_ONCE), ("c", 1)])) == [["a"], ["b"], ["c"]]


def test_more_than_a_site_can_have_is_refused_before_it_is_read() -> None:
    for texts in ([("a", 1)] * (MAX_PAGES + 1), [("a", MAX_BYTES), ("b", 1)]):
        with pytest.raises(BuildFailed, match="divide the space"):
            _check_size(SiteSource(title="x", description="", theme="auto", accent="", texts=texts))
