"""5 M rows x 10 float32 (1 % nulls, 5,000 series): split, fill, z-score, windows, Parquet; beside pandas and DuckDB.

Ours is the whole program, `python -m services.data.processor`: interpreter, statistics with histograms, digest,
preview and manifest are in its figures, and in nobody else's. Every run is a process of its own; runs take turns.
Environment variables: BENCH_DATA_ROUNDS (3), BENCH_DATA_LARGEST (16, in units of 5 M rows; 4 spares the disk).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS_PYTHON = ROOT / ".tools" / "bench-data" / "bin" / "python"
PEERS = ("pandas", "duckdb", "duckdb_lists")
ROWS, FEATURES, EACH = 5_000_000, 10, 1000
WINDOW = 100
PIPELINE = {
    "series_column": "series",
    "time_column": "step",
    "steps": [
        {"split": {"method": "SPLIT_METHOD_SERIES", "test_fraction": 0.2, "seed": "1"}},
        {"fill": {"method": "FILL_METHOD_MEAN"}},
        {"scale": {"method": "SCALE_METHOD_Z_SCORE"}},
        {"window": {"length": WINDOW}},
    ],
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process with all its children."""

    wall_s: float
    cpu_s: float
    memory: int


def main() -> None:
    """Prints wall and CPU seconds and memory of each, then how ours grows."""
    rounds = int(os.environ.get("BENCH_DATA_ROUNDS", "3"))
    largest = int(os.environ.get("BENCH_DATA_LARGEST", "16"))
    peers = PEERS if PEERS_PYTHON.exists() else ()
    if not peers:
        print("without the peers: `make bench-data` brings them to .tools/bench-data")
    with tempfile.TemporaryDirectory(prefix="bench-data-") as folder:
        compare(Path(folder), peers, rounds)
        grow(Path(folder), [times for times in (1, 4, 16) if times <= largest])


def compare(folder: Path, peers: Sequence[str], rounds: int) -> None:
    """Everybody takes a turn in every round."""
    source = make_source(folder, 1)
    costs: dict[str, list[Cost]] = {name: [] for name in ("automesh", *peers)}
    for _ in range(rounds):
        for name, found in costs.items():
            found.append(run_ours(folder, source) if name == "automesh" else run_peer(folder, source, name))
    ours = middle(costs["automesh"])
    print(f"{ROWS:,} rows x {FEATURES}, median of {rounds}; load of the machine {os.getloadavg()[0]:.1f}")
    print(f"{'':14} {'wall s':>8} {'CPU s':>8} {'memory MB':>10} {'M rows/s':>9} {'ours / it':>10} {'(CPU)':>8}")
    for name, found in costs.items():
        cost = middle(found)
        print(
            f"{name:14} {cost.wall_s:8.2f} {cost.cpu_s:8.2f} {cost.memory / 1e6:10.0f} {ROWS / cost.wall_s / 1e6:9.2f} "
            f"{ours.wall_s / cost.wall_s:10.2f} {ours.cpu_s / cost.cpu_s:8.2f}"
        )


def grow(folder: Path, sizes: Sequence[int]) -> None:
    """Ours at several sizes, once each."""
    print(f"\n{'size':>6} {'rows':>12} {'wall s':>8} {'CPU s':>8} {'memory MB':>10} {'M rows/s':>9}")
    for times in sizes:
        cost = run_ours(folder, source := make_source(folder, times))
        source.unlink()
        rate = times * ROWS / cost.wall_s / 1e6
        print(
            f"{times:5}x {times * ROWS:12,} {cost.wall_s:8.2f} {cost.cpu_s:8.2f} {cost.memory / 1e6:10.0f} {rate:9.2f}",
            flush=True,
        )


def make_source(folder: Path, times: int) -> Path:
    """Normal numbers of different means and spreads; one in a hundred is null. Made in a process of its own."""
    path = folder / f"source-{times}.parquet"
    if not path.exists():
        subprocess.run([sys.executable, "-c", _MAKE, str(path), str(times * ROWS), str(EACH)], check=True)
    return path


_MAKE = """
import sys
import numpy as np, polars as pl
path, rows, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random = np.random.default_rng(1)
columns = {"series": np.repeat(np.arange(rows // each), each), "step": np.tile(np.arange(each), rows // each)}
frame = pl.DataFrame(columns)
for number in range(10):
    values = pl.Series(random.standard_normal(rows, dtype=np.float32) * (number + 1) + number)
    empty = pl.Series(random.random(rows, dtype=np.float32) < 0.01)
    frame = frame.with_columns(pl.when(empty).then(None).otherwise(values).alias(f"f{number}"))
frame.write_parquet(path, row_group_size=131_072)
"""


def run_ours(folder: Path, source: Path) -> Cost:
    """The program on a folder with the source; its answer must be READY with all rows."""
    job = folder / "job"
    (job / "in").mkdir(parents=True)
    os.link(source, job / "in" / "source.parquet")
    files = {"kind": "files", "files": [{"name": "source.parquet"}]}
    (job / "job.json").write_text(
        json.dumps({"op": "process", "engine": "polars", "pipeline": PIPELINE, "source": files})
    )
    cost, said = measured([sys.executable, "-m", "services.data.processor", str(job)])
    last = json.loads(said.splitlines()[-1])
    assert last["kind"] == "done", last
    assert last["result"]["state"] == "READY", last
    shutil.rmtree(job)
    return cost


def run_peer(folder: Path, source: Path, name: str) -> Cost:
    """A peer in its own venv."""
    out = folder / name
    out.mkdir()
    cost, _ = measured([str(PEERS_PYTHON), str(ROOT / "bench" / "_data_peers.py"), name, str(source), str(out)])
    shutil.rmtree(out)
    return cost


def measured(command: list[str]) -> tuple[Cost, str]:
    """Runs a command to its end; memory is the most that one of its processes held."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{command} ended with {process.returncode}")
        said.seek(0)
        return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024), said.read().decode()


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(
        statistics.median(cost.wall_s for cost in costs),
        statistics.median(cost.cpu_s for cost in costs),
        int(statistics.median(cost.memory for cost in costs)),
    )
