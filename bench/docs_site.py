"""Sites built from real documentation: our builder beside MkDocs-Material on the very same pages, and how it grows.

The program is started anew for each build, as the service starts it. Pages are those of the corpus of the search bench
(Debian's documentation packages), as many as wanted, taken evenly. The peer runs in .tools/bench-docs-peers, where that
is there. Environment variables: BENCH_DEBS (a folder of .deb files), BENCH_SITE_PAGES (400).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.docs_search import load
from services.doc.builder.job import RESULT, write_job

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / ".tools" / "bench-docs-peers" / "bin" / "mkdocs"
PAGES, TARGET_S = 400, 2.0
GROWTH = (1, 4, 16)
RUNS = 3
MKDOCS = """
site_name: bench
theme: {name: material}
plugins: [search]
validation: {nav: {omitted_files: ignore}, links: {not_found: ignore, anchors: ignore, unrecognized_links: ignore}}
"""

Pages = Sequence[tuple[str, str, str]]
"""Path, title, text."""


def main() -> None:
    """Prints seconds, pages a second, and memory."""
    asked = int(os.environ.get("BENCH_SITE_PAGES", PAGES))
    pages = _pages()
    print(f"pages of real documentation: {len(pages)}; CPUs: {os.cpu_count()}; load: {os.getloadavg()[0]:.1f}")
    for factor in GROWTH:
        some = _some(pages, asked * factor)
        size = sum(len(text) for _, _, text in some) / 1e6
        seconds, cpu, files, memory = _ours(some, RUNS if factor == 1 else 1)
        target = f" (target {TARGET_S:g})" if factor == 1 else ""
        print(
            f"automesh, {len(some):5} pages, {size:5.1f} MB: {seconds:6.2f} s{target}, "
            f"{cpu:6.2f} s of CPU, {len(some) / seconds:5.0f} pages/s, {files} files, {memory} MB at most"
        )
        if len(some) < asked * factor:
            break
    if PEER.exists():
        some = _some(pages, asked)
        print(f"MkDocs-Material, {len(some)} pages: {_mkdocs(some):6.2f} s")
    else:
        print("MkDocs-Material: not there; make bench-docs brings it")


def _pages() -> Pages:
    return [(f"{page.space}/{page.path}", page.title, page.content) for page in load().pages]


def _some(pages: Pages, count: int) -> Pages:
    """Evenly from all of them."""
    if count >= len(pages):
        return pages
    return [pages[number * len(pages) // count] for number in range(count)]


def _ours(pages: Pages, runs: int) -> tuple[float, float, int, int]:
    """Seconds of the best run and of CPU in it, files, MB."""
    best, cpu, files = float("inf"), float("inf"), 0
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            job = {
                "title": "bench", "theme": "auto", "accent": "", "description": "", "url": "https://docs.example/x/",
                "pages": [{"path": p, "title": t, "updated": "2026-01-31", "tags": []} for p, t, _ in pages],
                "files": [], "moved": [],
            }  # fmt: skip
            write_job(folder, job, [text for _, _, text in pages])
            start, before = time.perf_counter(), _cpu()
            command = [sys.executable, "-m", "services.doc.builder", str(folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
            best, cpu = min(best, time.perf_counter() - start), min(cpu, _cpu() - before)
            result = json.loads((folder / RESULT).read_bytes())
            if result["failure"]:
                raise SystemExit(f"the site failed: {result['failure']}")
            files = len(result["files"])
    return best, cpu, files, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _mkdocs(pages: Pages) -> float:
    """Seconds of one run: it takes long."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for path, _, text in pages:
            place = folder / "docs" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        (folder / "docs" / "index.md").write_text("# Bench\n", encoding="utf-8")
        (folder / "mkdocs.yml").write_text(MKDOCS, encoding="utf-8")
        start = time.perf_counter()
        subprocess.run(
            [PEER, "build", "--quiet"], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return time.perf_counter() - start
