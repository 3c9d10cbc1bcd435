"""Search on some thousand pages of real documentation, beside what wikis ship and a plain tantivy index.

BENCH_DEBS=FOLDER takes Debian packages from there instead of fetching them. BENCH_FULL=1 adds copies of the corpus to
the measurement of growth.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import tantivy

from automesh.doc.v1 import document_service_pb2, search_service_pb2
from automesh.storage.sealing import Sealer
from bench import _docs_search_corpus as corpora
from bench._docs_search_corpus import Corpus, Page
from bench._docs_search_growth import growth
from bench._docs_search_house import TENANT, House, WikiSearch, database, fill, serving
from bench._docs_search_queries import KINDS, Query, derive
from services.doc.domain.search import planner as planning
from services.doc.domain.search.plan import Filters
from services.doc.domain.search.question import parse
from services.doc.store.search_index import PostgresIndex

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".tools" / "bench-docs"
PER_KIND = 250
CHANGES = 20
GOALS = {"p50": 5.0, "p95": 40.0, "index": 60.0, "change": 500.0, "ratio": 1.4}

Find = Callable[[str], Awaitable[list[tuple[str, str]]]]


@dataclass(slots=True)
class Score:
    """Of one searcher: reciprocal ranks and recalls by kind, and milliseconds."""

    ranks: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    recalls: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    times: list[float] = field(default_factory=list)

    def mrr(self, kinds: Sequence[str] = KINDS) -> float:
        """Mean over the kinds, so that each counts the same."""
        return statistics.mean(statistics.mean(self.ranks[kind]) for kind in kinds)

    def recall(self, kinds: Sequence[str] = KINDS) -> float:
        """The same of recall at 10."""
        return statistics.mean(statistics.mean(self.recalls[kind]) for kind in kinds)

    def ms(self, share: float) -> float:
        """A quantile."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


def main() -> None:
    """Prints figures beside their goals."""
    corpus = load()
    queries = derive(corpus, PER_KIND)
    size = sum(len(page.content.encode()) for page in corpus.pages)
    print(f"{len(corpus.pages)} pages, {size / 1e6:.1f} MB of Markdown, {len(queries)} queries of {len(KINDS)} kinds")
    with tempfile.TemporaryDirectory(prefix="bench-docs-") as scratch:
        asyncio.run(_measured(corpus, queries, Path(scratch)))
        asyncio.run(growth(corpus.pages, [query.text for query in queries], Path(scratch) / "growth"))


def load() -> Corpus:
    """Converted once, then kept in the cache folder."""
    folder = os.environ.get("BENCH_DEBS")
    kept = CACHE / "corpus.pickle"
    packages = corpora.packages(Path(folder) if folder else None, CACHE)
    names = sorted(package.name for package in packages)
    if kept.exists():
        saved_names, corpus = pickle.loads(kept.read_bytes())  # noqa: S301 - our own file
        if saved_names == names:
            return cast(Corpus, corpus)
    corpus = corpora.read(packages)
    kept.write_bytes(pickle.dumps((names, corpus)))
    return corpus


async def _measured(corpus: Corpus, queries: Sequence[Query], scratch: Path) -> None:
    async with database(scratch) as dsn:
        sealer = await fill(dsn, scratch, corpus.pages)
        began = time.monotonic()
        async with serving(dsn, scratch, sealer) as house:
            status = await house.caught_up()
            built = time.monotonic() - began
            size = sum(file.stat().st_size for file in (scratch / "scratch").rglob("*") if file.is_file())
            of = f"{status.sections} sections, {size / 1e6:.0f} MB"
            print(f"index from scratch: {built:.1f} s (goal {GOALS['index']:.0f}), {of}")
            await house.at_rest()
            print(f"index in the database, which stands by: built {time.monotonic() - began:.1f} s after the start")
            ours = await score(queries, await _finding(house))
            await _changes(house, corpus.pages)
            stored = await score(
                queries[::5], _finding_in_database(house, sealer, sorted({page.space for page in corpus.pages}))
            )
        async with WikiSearch.made(dsn, corpus.pages) as (wiki, seconds):
            print(f"PostgreSQL AND: {seconds:.1f} s to index")
            wikis = await score(queries, wiki.find)
    plain = await score(queries, plain_tantivy(corpus.pages))
    report(
        {
            "ours, through gRPC": ours,
            "ours, the database's*": stored,
            "PostgreSQL AND": wikis,
            "tantivy, plain pages": plain,
        }
    )


async def _finding(house: House) -> Find:
    stub = await house.searching()

    async def find(query: str) -> list[tuple[str, str]]:
        answer = await stub.SearchDocuments(search_service_pb2.SearchDocumentsRequest(query=query[:1000]))
        return [(result.space, result.path) for result in answer.results]

    return find


def _finding_in_database(house: House, sealer: Sealer, spaces: Sequence[str]) -> Find:
    """What answers while the index is built anew, asked without gRPC."""
    index = PostgresIndex(house.engine.core.outside.database, sealer)
    corpus, planner, filters = planning.Corpus(index, TENANT, spaces), planning.Planner(), Filters(spaces=tuple(spaces))

    async def find(query: str) -> list[tuple[str, str]]:
        plan = (await planner.plan(corpus, parse(query[:1000]), filters)).plan
        return [(hit.space, hit.path) for hit in await index.search(TENANT, plan, offset=0, limit=10)]

    return find


async def score(queries: Sequence[Query], find: Find) -> Score:
    """Each query once, one after the other."""
    made = Score()
    for query in queries:
        began = time.perf_counter()
        found = await find(query.text)
        made.times.append(time.perf_counter() - began)
        places = [place for place, each in enumerate(found[:10], start=1) if each in query.answers]
        made.ranks[query.kind].append(1 / places[0] if places else 0.0)
        made.recalls[query.kind].append(len(set(found[:10]) & query.answers) / len(query.answers))
    return made


def plain_tantivy(pages: Sequence[Page]) -> Find:
    """Title and body of pages with the stemmer that comes with it, and its own query parser."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("title", stored=True, tokenizer_name="en_stem")
    builder.add_text_field("body", tokenizer_name="en_stem")
    builder.add_text_field("place", stored=True, tokenizer_name="raw")
    index = tantivy.Index(builder.build())
    writer = index.writer(64_000_000, 1)
    for page in pages:
        writer.add_document(tantivy.Document(title=page.title, body=page.content, place=f"{page.space}\n{page.path}"))
    writer.commit()
    index.reload()
    searcher = index.searcher()

    async def find(query: str) -> list[tuple[str, str]]:
        parsed, _ = index.parse_query_lenient(query, ["title", "body"], {"title": 2.0})
        hits = searcher.search(parsed, 10, count=False).hits
        places = (str(searcher.doc(address).get_first("place")).partition("\n") for _, address in hits)
        return [(space, path) for space, _, path in places]

    return find


async def _changes(house: House, pages: Sequence[Page]) -> None:
    """From the answer to a save until a search finds what was saved."""
    find, writing = await _finding(house), await house.writing()
    times = []
    for number in range(CHANGES):
        word = f"zq{number}xw{time.monotonic_ns()}"
        page = pages[number * 37 % len(pages)]
        found = await writing.LookUpDocument(
            document_service_pb2.LookUpDocumentRequest(space=page.space, path=page.path)
        )
        await writing.UpdateDocument(
            document_service_pb2.UpdateDocumentRequest(
                document_id=found.document.document_id,
                content=f"{found.document.content}\n{word}\n",
                expected_head=found.document.head,
            )
        )
        began = time.perf_counter()
        while (page.space, page.path) not in await find(word):  # noqa: ASYNC110 # as a person would
            await asyncio.sleep(0.005)
        times.append((time.perf_counter() - began) * 1000)
    print(
        f"one page changed and searchable: median {statistics.median(times):.0f} ms, most {max(times):.0f} ms "
        f"(goal {GOALS['change']:.0f})"
    )


def report(scores: dict[str, Score]) -> None:
    """A line a searcher, then the ratios."""
    print(
        f"\n{'':22}{'MRR@10':>8}{'recall':>8}{'p50 ms':>8}{'p95 ms':>8}   " + "  ".join(f"{kind:>10}" for kind in KINDS)
    )
    for name, made in scores.items():
        kinds = "  ".join(f"{statistics.mean(made.ranks[kind]):>10.3f}" for kind in KINDS)
        print(f"{name:22}{made.mrr():>8.3f}{made.recall():>8.3f}{made.ms(0.5):>8.1f}{made.ms(0.95):>8.1f}   {kinds}")
    print("* what answers while the index is built anew; every fifth query")
    ours, wiki = scores["ours, through gRPC"], scores["PostgreSQL AND"]
    print(
        f"\nours / PostgreSQL AND: MRR {ours.mrr() / wiki.mrr():.2f}, recall {ours.recall() / wiki.recall():.2f} "
        f"(goal {GOALS['ratio']}); p50 {ours.ms(0.5):.1f} ms (goal {GOALS['p50']:.0f}), "
        f"p95 {ours.ms(0.95):.1f} ms (goal {GOALS['p95']:.0f})"
    )
