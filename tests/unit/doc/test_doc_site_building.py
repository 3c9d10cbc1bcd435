"""How the texts of a site are read: in lots that fit into memory, and not at all when there are too many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.doc.domain.attachments.attachment import Attachment
from services.doc.domain.publishing import building
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
from services.doc.domain.publishing.site import Release, ReleaseState

NOW = datetime(2026, 1, 31, tzinfo=UTC)


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


class EndlessFiles:
    """A branch on which there is always one more."""

    async def list(
        self, tenant_id: str, space: str, branch: str, *, prefix: str, limit: int, after: str
    ) -> Sequence[Attachment]:
        first = int(after or 0)
        return [
            Attachment(
                tenant_id=tenant_id, space=space, branch=branch, path=str(first + number + 1), content_type="image/png",
                size=1, sha256="0" * 64, created_by="ann", created_at=NOW,
            )
            for number in range(limit)
        ]  # fmt: skip


async def test_a_site_that_cannot_have_all_attachments_is_not_made_with_some_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(building, "MAX_ATTACHMENTS", 2_500)
    nothing: Any = None
    ground = building.Ground(
        queue=nothing, sources=nothing, texts=nothing, attachments=EndlessFiles(), shelf=nothing, builder=nothing,
        contents=nothing, addresses=nothing,
    )  # fmt: skip
    release = Release(
        release_id="rel_1", tenant_id="default", space="handbook", branch="main", preview=False,
        state=ReleaseState.BUILDING, created_by="ann", message="", created_at=NOW,
    )  # fmt: skip
    with pytest.raises(BuildFailed, match="divide the space"):
        await building.ReleaseMaker(ground)._attachments(release)
