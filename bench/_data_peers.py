"""`python bench/_data_peers.py PEER SOURCE FOLDER`: the job of `bench.data`, as one writes it for a peer.

Mean of the training part (four of five series), nulls filled with it, z-score by the training part, rows of each part
as zstd Parquet in the order of the source, and the windows of 100 rows: as an index of first rows (pandas, duckdb), or
as lists of rows, which is the usual way in SQL (duckdb_lists). Runs in a venv of its own: nothing of automesh is there.
"""
# ruff: noqa: S608  # SQL of our own numbers and paths

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

FEATURES = [f"f{number}" for number in range(10)]
LENGTH = 100
GROUP = 131_072


def pandas(source: Path, folder: Path) -> None:
    """pandas, with numpy where pandas is slow."""
    import numpy as np
    import pandas as pd

    frame = pd.read_parquet(source)
    hashed = pd.util.hash_array(frame["series"].unique())
    tests = frame["series"].unique()[hashed % 5 == 0]
    test = frame["series"].isin(tests).to_numpy()
    means = frame.loc[~test, FEATURES].mean()
    frame[FEATURES] = frame[FEATURES].fillna(means)
    stds = frame.loc[~test, FEATURES].std(ddof=0)
    frame[FEATURES] = ((frame[FEATURES] - means) / stds).astype(np.float32)
    for name, part in (("train", frame[~test]), ("test", frame[test])):
        part.to_parquet(folder / f"{name}.parquet", compression="zstd", index=False, row_group_size=GROUP)
        lengths = part.groupby("series", sort=False).size().to_numpy()
        firsts = np.cumsum(lengths) - lengths
        starts = np.concatenate(
            [np.arange(f, f + n - LENGTH + 1, LENGTH) for f, n in zip(firsts, lengths, strict=True)]
        )
        pd.DataFrame({"start": starts}).to_parquet(folder / f"{name}.windows.parquet", compression="zstd")


def _duckdb_statistics(source: Path) -> tuple[Any, str]:
    """A connection, and the SELECT of scaled rows with their part."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW source AS SELECT *, hash(series) % 5 = 0 AS test FROM '{source}'")
    means = ", ".join(f"avg({name})" for name in FEATURES)
    mean = connection.execute(f"SELECT {means} FROM source WHERE NOT test").fetchone()
    filled = [f"coalesce({name}, {value!r})" for name, value in zip(FEATURES, mean, strict=True)]
    spreads = ", ".join(f"stddev_pop({one})" for one in filled)
    std = connection.execute(f"SELECT {spreads} FROM source WHERE NOT test").fetchone()
    scaled = ", ".join(
        f"CAST(({one} - {m!r}) / {s!r} AS FLOAT) AS {name}"
        for one, m, s, name in zip(filled, mean, std, FEATURES, strict=True)
    )
    return connection, f"SELECT series, step, {scaled}, test FROM source"


def duckdb(source: Path, folder: Path) -> None:
    """DuckDB: rows, and an index of windows by a window function."""
    connection, scaled = _duckdb_statistics(source)
    for name, test in (("train", "NOT test"), ("test", "test")):
        path = folder / f"{name}.parquet"
        connection.execute(
            f"COPY (SELECT * EXCLUDE test FROM ({scaled}) WHERE {test}) TO '{path}' "
            f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {GROUP})"
        )
        connection.execute(
            f"""COPY (
                WITH runs AS (SELECT series, count(*) AS length FROM '{path}' GROUP BY series),
                placed AS (SELECT series, length, sum(length) OVER (ORDER BY series) - length AS first FROM runs)
                SELECT first + unnest(range(0, length - {LENGTH} + 1, {LENGTH})) AS start FROM placed ORDER BY start
            ) TO '{folder / f"{name}.windows.parquet"}' (FORMAT parquet, COMPRESSION zstd)"""
        )


def duckdb_lists(source: Path, folder: Path) -> None:
    """DuckDB: each window a row with a list of rows."""
    connection, scaled = _duckdb_statistics(source)
    row = ", ".join(f"{name} := {name}" for name in FEATURES)
    for name, test in (("train", "NOT test"), ("test", "test")):
        connection.execute(
            f"""COPY (
                SELECT series, step // {LENGTH} AS number, list(struct_pack({row}) ORDER BY step) AS rows
                FROM ({scaled}) WHERE {test} GROUP BY ALL HAVING count(*) = {LENGTH}
            ) TO '{folder / f"{name}.parquet"}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"""
        )


PEERS = {peer.__name__: peer for peer in (pandas, duckdb, duckdb_lists)}

if __name__ == "__main__":
    PEERS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
