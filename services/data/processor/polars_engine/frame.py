"""Rows in the hands of Polars."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from services.data.domain.pipeline.columns import ColumnType
from services.data.processor.engine import PART, ROW
from services.data.processor.ingest.rows import column_type

MAX_PENDING = 16
"""So many lazy operations are carried out again for each summary before their result is kept."""


@dataclass(frozen=True, slots=True)
class PolarsFrame:
    """`pending` operations since rows were settled; `ordered` by series, time and position; `divided` into parts.

    `blocks`: rows of each part, where the parts stand one after the other.
    """

    lazy: pl.LazyFrame
    rows: int
    size: int
    pending: int = 0
    ordered: bool = False
    divided: bool = False
    blocks: tuple[int, ...] | None = None

    def schema(self) -> dict[str, ColumnType]:
        """The columns but ROW and PART."""
        return {
            name: column_type(dtype) for name, dtype in self.lazy.collect_schema().items() if name not in {ROW, PART}
        }

    def then(self, lazy: pl.LazyFrame, *, cost: int = 1, ordered: bool | None = None) -> PolarsFrame:
        """After one more operation. One that changes the number of rows costs MAX_PENDING."""
        in_order = self.ordered if ordered is None else ordered
        blocks = self.blocks if in_order and cost < MAX_PENDING else None
        return replace(self, lazy=lazy, pending=self.pending + cost, ordered=in_order, blocks=blocks)

    def part(self, code: int) -> pl.LazyFrame:
        """The rows of a part."""
        if self.blocks is not None:
            return self.lazy.slice(sum(self.blocks[:code]), self.blocks[code])
        return self.lazy.filter(pl.col(PART) == code)
