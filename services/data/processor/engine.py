"""What an engine must be able to do. Everything else (order of steps, windows, statistics, files) is shared by all.

An engine holds rows in a frame that it alone understands. Beside the columns it keeps the position of each row in the
source (`ROW`) and, once divided, its part (`PART`, a number that counts in PARTS). Equal input gives equal output on
every engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from services.data.domain.pipeline.columns import ColumnType
from services.data.domain.pipeline.steps import Aggregation, FillMethod
from services.data.domain.pipeline.types import Typed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    from services.data.processor.ingest.rows import Rows
    from services.data.processor.parts import Part
    from services.data.processor.summary import Summary

ROW, PART = "__row", "__part"
PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that say which rows belong together, and in which order; empty where there are none."""

    series: str = ""
    time: str = ""

    @property
    def keys(self) -> list[str]:
        """Those that there are."""
        return [name for name in (self.series, self.time) if name]


@dataclass(frozen=True, slots=True)
class Uncastable:
    """Values of a column that no cast can save: how many, and the first of them."""

    column: str
    count: int
    row: int
    value: str


class Engine(Protocol[F]):
    """Operations on frames; none changes the frame it is given. They may be lazy.

    Frames are ordered by series, time and position wherever an operation speaks of series or order.
    """

    name: str

    def open(self, rows: Rows, layout: Layout) -> F:
        """The rows of a source."""
        ...

    def schema(self, frame: F) -> dict[str, ColumnType]:
        """The columns but ROW and PART, in order."""
        ...

    def count(self, frame: F) -> int:
        """How many rows there are."""
        ...

    def select(self, frame: F, columns: Sequence[str], rename: Mapping[str, str]) -> F:
        """These columns in this order, some under new names; the order of rows stays."""
        ...

    def uncastable(self, frame: F, types: Mapping[str, ColumnType]) -> list[Uncastable]:
        """What `cast` would make null though it is none."""
        ...

    def cast(self, frame: F, types: Mapping[str, ColumnType]) -> F:
        """New types; what cannot be cast becomes null."""
        ...

    def fill(self, frame: F, values: Mapping[str, float]) -> F:
        """Nulls and NaN become the value of their column (a whole number in whole-number columns)."""
        ...

    def fill_from_neighbours(self, frame: F, columns: Sequence[str], method: FillMethod) -> F:
        """FORWARD, BACKWARD and LINEAR, inside each series."""
        ...

    def drop_nulls(self, frame: F, columns: Sequence[str]) -> F:
        """Without rows that have a null or NaN in one of the columns."""
        ...

    def drop_where(self, frame: F, condition: Typed) -> F:
        """Without rows for which the condition is true."""
        ...

    def clip(self, frame: F, columns: Sequence[str], lower: float | None, upper: float | None) -> F:
        """Values bounded; the type stays."""
        ...

    def scale(self, frame: F, scaling: Mapping[str, tuple[float, float]]) -> F:
        """(value - shift) / divisor, computed in 64 bits; FLOAT32 stays, whole numbers become FLOAT64."""
        ...

    def derive(self, frame: F, column: str, value: Typed) -> F:
        """One more column, or another one of that name in its place."""
        ...

    def resample(self, frame: F, every: int, aggregation: Aggregation) -> F:
        """One row for each series, part and interval; `every` counts microseconds, days or steps of the time column."""
        ...

    def deduplicate(self, frame: F, columns: Sequence[str]) -> F:
        """Of rows that are equal in these columns, the one with the least position."""
        ...

    def series(self, frame: F) -> list[Any]:
        """Each value of the series column once, in any order."""
        ...

    def positions(self, frame: F) -> npt.NDArray[np.int64]:
        """ROW of every row, in any order."""
        ...

    def divide_by_series(self, frame: F, parts: Mapping[Any, int]) -> F:
        """PART by the value of the series column."""
        ...

    def divide_by_time(self, frame: F, test: float, validation: float) -> F:
        """PART by the place in the series; see splits.time_parts."""
        ...

    def divide_by_position(self, frame: F, seed: int, bounds: tuple[int, int]) -> F:
        """PART by ROW; see splits.position_parts."""
        ...

    def summaries(self, frame: F, columns: Sequence[str]) -> dict[str, Summary]:
        """Of the training part, of all rows where nothing is divided; nulls and NaN are left out."""
        ...

    def rows(self, frame: F, columns: Sequence[str], *, train_only: bool = False) -> pl.DataFrame:
        """These columns and ROW; for checks."""
        ...

    def rows_at(self, frame: F, positions: Sequence[int]) -> pl.DataFrame:
        """All columns and ROW of the rows with these ROW values, by position."""
        ...

    def parts(self, frame: F, folder: Path) -> list[Part]:
        """Writes train.parquet and so on, each ordered by series, time and position."""
        ...

    def close(self) -> None:
        """Lets go of what the engine started."""
        ...
