"""A save of a page through gRPC and mutual TLS, beside a plain INSERT of the same text and a git commit of it.

Service and client share this process and PostgreSQL writes to the disk as it does in earnest. The texts are the
project's own docs, with a line changed each time. Environment variable: BENCH_DOCS_SAVES (300 for each figure).
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from automesh.doc.v1 import branch_service_pb2, branch_service_pb2_grpc, space_pb2, space_service_pb2
from automesh.doc.v1 import document_pb2 as doc
from automesh.doc.v1 import document_service_pb2 as pb
from automesh.doc.v1 import document_service_pb2_grpc as rpc
from automesh.doc.v1 import review_service_pb2 as review_pb
from automesh.doc.v1 import review_service_pb2_grpc as review_rpc
from automesh.doc.v1 import space_service_pb2_grpc as space_rpc
from automesh.local.postgres import EmbeddedPostgres
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import LocalFanout
from automesh.storage.migrations import migrate
from automesh.storage.postgres import ENGINE, Database
from automesh.storage.sealing import Keyring, Sealer
from automesh.testing.mesh import InProcessMesh, in_process_mesh
from services.doc.engine.core import Outside
from services.doc.engine.engine import DocEngine
from services.doc.engine.options import Options

ROOT = Path(__file__).resolve().parents[1]
SPACE = "bench"
PERMISSIONS = ("doc.read", "doc.write", "doc.delete", "doc.review", "doc.publish", "doc.admin")
WARM_UP, WRITERS, RATE, TARGET_MS = 50, 8, 20, 30
GROWTH = (1, 4, 16)
REVISIONS, PAGES, MERGED = 100, 250, 50
STORED = "SELECT sum(length(bytes)) FROM revision JOIN content USING (tenant_id, sha256) WHERE document_id = $1"


@dataclass(frozen=True, slots=True)
class House:
    """The service, somebody who may do everything, and its database."""

    mesh: InProcessMesh
    documents: rpc.DocumentServiceAsyncStub
    database: Database
    folder: Path


def main() -> None:
    """Prints what a save takes, then how that grows."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    saves = int(os.environ.get("BENCH_DOCS_SAVES", "300"))
    with tempfile.TemporaryDirectory(prefix="bench-docs-") as folder:
        asyncio.run(_run(Path(folder), saves))


async def _run(folder: Path, saves: int) -> None:
    texts = [path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))]
    size = sum(len(text) for text in texts) / len(texts) / 1024
    print(f"{len(texts)} pages of {size:.1f} KiB on average; load of the machine {os.getloadavg()[0]:.1f}")
    async with _house(folder) as house:
        pages = [await _create(house, f"page{number}.md", text) for number, text in enumerate(texts)]
        await _saving(house, pages, WARM_UP)
        _show(f"save, {RATE} a second", await _at_rate(house, pages, saves), f"  (target p99 <= {TARGET_MS})")
        _show("save, one after the other", await _saving(house, pages, saves))
        _show(f"save, {WRITERS} at once", await _together(house, pages, saves))
        _show("create", await _creating(house, texts, saves))
        _show("INSERT of the same text", await _inserting(house, texts, saves))
        _show("git commit of the same text", await asyncio.to_thread(_committing, folder, texts, min(saves, 100)))
        await _history_grows(house, texts[0])
        await _space_grows(house, texts)
        await _merges(house, texts)


# ---------------------------------------------------------------------- ours
@asynccontextmanager
async def _house(folder: Path) -> AsyncIterator[House]:
    postgres = EmbeddedPostgres(folder / "data", folder / "run")
    dsn = await postgres.start()
    try:
        sealer = Sealer(Keyring.generate())
        async with Database.open(dsn, schema="doc") as database:
            await migrate(database, "services.doc.migrations")
            outside = Outside(
                database=database,
                sealer=sealer,
                blobs=EncryptedBlobStore.open(folder / "blobs", sealer),
                fanout=LocalFanout(),
            )
            engine = DocEngine(outside, Options(scratch=folder / "doc"))
            async with engine.open() as bounds, in_process_mesh("doc", bounds) as mesh:
                channel = await mesh.signed_in(PERMISSIONS, name="ann")
                space = space_pb2.Space(space=SPACE)
                await space_rpc.SpaceServiceStub(channel).CreateSpace(space_service_pb2.CreateSpaceRequest(space=space))
                yield House(mesh, rpc.DocumentServiceStub(channel), database, folder)
    finally:
        await postgres.stop()


async def _create(house: House, path: str, content: str, branch: str = "") -> doc.Document:
    request = pb.CreateDocumentRequest(space=SPACE, path=path, content=content, branch=branch)
    return (await house.documents.CreateDocument(request)).document


async def _save(house: House, page: doc.Document, number: int) -> doc.Document:
    """A line is changed in the middle."""
    lines = page.content.split("\n")
    lines[len(lines) // 2] = f"This line was changed {number} times."
    request = pb.UpdateDocumentRequest(document_id=page.document_id, expected_head=page.head, content="\n".join(lines))
    return (await house.documents.UpdateDocument(request)).document


async def _saving(house: House, pages: list[doc.Document], count: int) -> list[float]:
    times = []
    for number in range(count):
        at = number % len(pages)
        began = time.perf_counter()
        pages[at] = await _save(house, pages[at], number)
        times.append(time.perf_counter() - began)
    return times


async def _at_rate(house: House, pages: list[doc.Document], count: int) -> list[float]:
    """Open loop: a save every 1/RATE s, whatever became of those before."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def save(number: int) -> float:
        start, at = time.perf_counter(), number % len(pages)
        pages[at] = await _save(house, pages[at], number)
        return time.perf_counter() - start

    tasks = []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / RATE - loop.time()))
        tasks.append(asyncio.create_task(save(number)))
    return list(await asyncio.gather(*tasks))


async def _together(house: House, pages: list[doc.Document], count: int) -> list[float]:
    parts = [pages[number::WRITERS] for number in range(WRITERS)]
    found = await asyncio.gather(*(_saving(house, part, count // WRITERS) for part in parts))
    for number, part in enumerate(parts):
        pages[number::WRITERS] = part
    return [each for times in found for each in times]


async def _creating(house: House, texts: Sequence[str], count: int) -> list[float]:
    async def create(number: int) -> None:
        await _create(house, f"made/{number}.md", texts[number % len(texts)] + f"\n{number}\n")

    return await _timed(create, count)


async def _history_grows(house: House, text: str) -> None:
    print(f"\na page with more and more revisions ({REVISIONS} at 1x):")
    page, number = await _create(house, "history.md", text), 0
    for times in GROWTH:
        while number < REVISIONS * times - WARM_UP:
            page = await _save(house, page, number)
            number += 1
        pages = [page]
        found = await _saving(house, pages, WARM_UP)
        page, number = pages[0], number + WARM_UP
        stored = await house.database.fetchval(STORED, page.document_id, tenant="default")
        _show(f"  save at {times}x", found, f"  {stored / number:.0f} bytes a revision of {page.size}")


async def _space_grows(house: House, texts: Sequence[str]) -> None:
    print(f"\na space with more and more pages ({PAGES} at 1x):")
    made: list[doc.Document] = []
    for times in GROWTH:
        while len(made) < PAGES * times:
            number = len(made)
            made.append(await _create(house, f"many/{number}.md", texts[number % len(texts)] + f"\n{number}\n"))
        _show(f"  save at {times}x", await _saving(house, made[-WARM_UP:], WARM_UP))


async def _merges(house: House, texts: Sequence[str]) -> None:
    print(f"\na review merged, with more and more pages ({MERGED} at 1x):")
    channel = await house.mesh.signed_in(PERMISSIONS, name="ann")
    reviews, branches = review_rpc.ReviewServiceStub(channel), branch_service_pb2_grpc.BranchServiceStub(channel)
    for times in GROWTH:
        branch = f"merge{times}"
        began = time.perf_counter()
        await branches.CreateBranch(branch_service_pb2.CreateBranchRequest(space=SPACE, branch=branch))
        branched_s = time.perf_counter() - began
        for number in range(MERGED * times):
            await _create(house, f"{branch}/{number}.md", texts[number % len(texts)] + f"\n{number}\n", branch)
        request = review_pb.CreateReviewRequest(space=SPACE, branch=branch, title="All of them")
        review = (await reviews.CreateReview(request)).review
        began = time.perf_counter()
        await reviews.MergeReview(review_pb.MergeReviewRequest(review_id=review.review_id, delete_branch=True))
        print(
            f"  {MERGED * times:5} pages merged in {time.perf_counter() - began:6.2f} s; the branch of all "
            f"{PAGES * GROWTH[-1]:,} and more pages was made in {branched_s:.2f} s"
        )


# ---------------------------------------------------------------------- peers
async def _inserting(house: House, texts: Sequence[str], count: int) -> list[float]:
    """The least that a database can do for it."""
    await house.database.execute("CREATE TABLE plain (id bigint PRIMARY KEY, body text NOT NULL)", tenant=ENGINE)

    async def insert(number: int) -> None:
        body = texts[number % len(texts)] + f"\n{number}\n"
        await house.database.execute("INSERT INTO plain VALUES ($1, $2)", number, body, tenant="default")

    return await _timed(insert, count)


def _committing(folder: Path, texts: Sequence[str], count: int) -> list[float]:
    """What a wiki on git does."""
    place = folder / "git"
    place.mkdir()
    _git(place, "init", "--quiet")
    times = []
    for number in range(count):
        began = time.perf_counter()
        (place / f"page{number % len(texts)}.md").write_text(texts[number % len(texts)] + f"\n{number}\n")
        _git(place, "add", "--all")
        _git(place, "commit", "--quiet", "--message", "saved")
        times.append(time.perf_counter() - began)
    return times


def _git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "core.fsync=committed,loose-object")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)


async def _timed(work: Callable[[int], Awaitable[object]], count: int) -> list[float]:
    times = []
    for number in range(count):
        began = time.perf_counter()
        await work(number)
        times.append(time.perf_counter() - began)
    return times


def _show(name: str, times: Sequence[float], more: str = "") -> None:
    ordered = sorted(each * 1000 for each in times)
    p50, p99 = (ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.99))
    print(f"{name:32} p50 {p50:7.1f} ms   p99 {p99:7.1f} ms{more}", flush=True)


if __name__ == "__main__":
    main()
