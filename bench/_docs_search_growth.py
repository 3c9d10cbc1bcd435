"""How search grows: the index alone, on parts of the corpus and, when asked for, on copies of it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench._docs_search_corpus import Page
from services.doc.domain.documents.document import Head
from services.doc.domain.search.page import IndexedPage, read_page
from services.doc.domain.search.plan import Filters
from services.doc.domain.search.planner import Corpus, Planner
from services.doc.domain.search.question import parse
from services.doc.search.tantivy_index import TantivyIndex

TENANT = "growth"
QUERIES = 400
AT_ONCE = 100
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def growth(pages: Sequence[Page], queries: Sequence[str], folder: Path) -> None:
    """A line a size."""
    print(f"\nGrowth (the index alone, {QUERIES} queries)")
    print(f"{'pages':>10}{'MB':>8}{'index s':>10}{'p50 ms':>8}{'p95 ms':>8}")
    for parts in (16, 4, 1):
        await _size(pages[::parts], 1, queries, folder / f"part{parts}")
    if os.environ.get("BENCH_FULL"):
        for copies in (4, 16):
            await _size(pages, copies, queries, folder / f"copies{copies}")


async def _size(pages: Sequence[Page], copies: int, queries: Sequence[str], folder: Path) -> None:
    async with TantivyIndex.open(folder, lambda: None) as index:
        await index.begin(0, [TENANT])
        began = time.monotonic()
        async with index.build(TENANT, 0) as sink:
            assert sink is not None
            for copy in range(copies):
                for start in range(0, len(pages), AT_ONCE):
                    await sink.add([_indexed(page, copy) for page in pages[start : start + AT_ONCE]])
        built = time.monotonic() - began
        spaces = tuple(sorted({_space(page, copy) for page in pages for copy in range(copies)}))
        corpus, planner = Corpus(index, TENANT, spaces), Planner()
        times = []
        for query in queries[:: max(1, len(queries) // QUERIES)]:
            asked = time.perf_counter()
            plan = (await planner.plan(corpus, parse(query[:1000]), Filters(spaces=spaces))).plan
            await index.search(TENANT, plan, offset=0, limit=10)
            times.append((time.perf_counter() - asked) * 1000)
    times.sort()
    size = copies * sum(len(page.content) for page in pages) / 1e6
    p50, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
    print(f"{copies * len(pages):>10}{size:>8.0f}{built:>10.1f}{p50:>8.1f}{p95:>8.1f}", flush=True)


def _indexed(page: Page, copy: int) -> IndexedPage:
    head = Head(
        tenant_id=TENANT,
        space=_space(page, copy),
        branch="main",
        document_id=f"{copy}/{page.space}/{page.path}",
        revision_id="",
        path=page.path,
        title=page.title,
        owner="",
        size=len(page.content),
        sha256="",
        created_by="",
        created_at=NOW,
        updated_by="",
        updated_at=NOW,
    )
    return read_page(head, page.content)


def _space(page: Page, copy: int) -> str:
    return f"{page.space}-{copy}" if copy else page.space
