"""Runs every static check, as many at a time as there are cores; prints what a check that failed has to say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKS: dict[str, list[str | Path]] = {  # the slowest first
    "mypy": [BIN / "mypy", "services", "libs", "gateway", "tools"],
    "buf": [ROOT / "tools" / "buf.sh", "check"],
    "gen-check": [sys.executable, ROOT / "tools" / "gen.py", "--check"],
    "import-linter": [BIN / "lint-imports"],
    "ruff check": [BIN / "ruff", "check", "."],
    "ruff format": [BIN / "ruff", "format", "--check", "."],
}


@dataclass(frozen=True)
class Outcome:
    name: str
    passed: bool
    output: str
    seconds: float


def run(name: str) -> Outcome:
    started = time.monotonic()
    done = subprocess.run(
        CHECKS[name], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return Outcome(name, done.returncode == 0, done.stdout, time.monotonic() - started)


def main() -> int:
    failed = []
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        for future in as_completed([pool.submit(run, name) for name in CHECKS]):
            outcome = future.result()
            print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.name} ({outcome.seconds:.1f} s)", flush=True)
            if not outcome.passed:
                failed.append(outcome.name)
                print(outcome.output, flush=True)
    print(f"check: {', '.join(failed)} failed" if failed else "check: everything is in order")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
