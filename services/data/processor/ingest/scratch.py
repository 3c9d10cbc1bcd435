"""Room for intermediate rows: memory while it lasts, else files."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import polars as pl

SHARE = 4
"""Rows may take this part of the memory; what is made of them needs the rest."""
_FREE = "MemAvailable:"


class Scratch:
    """`memory` is how many bytes the program may take; 0 means what the machine has free."""

    def __init__(self, folder: Path, memory: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._memory = memory or _available()
        self._numbers = count()

    def holds(self, size: int) -> bool:
        """Whether rows of so many bytes stay in memory."""
        return size * SHARE <= self._memory

    def settled(self, lazy: pl.LazyFrame, size: int) -> pl.LazyFrame:
        """The same rows in the same order, computed once."""
        if self.holds(size):
            return lazy.collect().lazy()
        path = self.folder / f"rows-{next(self._numbers)}.parquet"
        lazy.sink_parquet(path, compression="lz4", row_group_size=131_072, statistics=False)
        return pl.scan_parquet(path, glob=False)


def _available() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith(_FREE):
            return int(line.split()[1]) * 1024
    return 2**31
