"""Long work of many callers leaves threads and the event loop to others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from services.doc.domain.caching.memory import MemoryCache
from services.doc.domain.caching.rendered import CachedRenderer
from services.doc.domain.documents.document import Document, Head
from services.doc.domain.documents.pace import LONG, Lane
from services.doc.domain.documents.pages import PageMaker
from services.doc.domain.markdown.renderer import Resolve
from services.doc.domain.spaces.space import MAIN

MANY = 80
"""More than there are threads."""
LONG_PAGE = "x" * (LONG + 1)
NOW = datetime(2026, 11, 26, tzinfo=UTC)


class Slow:
    """A Renderer that takes until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun = 0

    def render(self, content: str, *, resolve: Resolve) -> str:
        self.begun += 1
        self.go_on.wait(30)
        return "page"


@pytest.fixture
async def slow() -> AsyncIterator[Slow]:
    renderer = Slow()
    yield renderer
    renderer.go_on.set()


async def test_many_long_pages_leave_threads_to_others_and_come_one_after_the_other(slow: Slow) -> None:
    pages = PageMaker(CachedRenderer(slow, MemoryCache(), version="1"), Lane(2))
    asked = [asyncio.create_task(pages.render(page(f"{number}.md"))) for number in range(MANY)]
    async with asyncio.timeout(10):
        await asyncio.to_thread(lambda: None)
    assert slow.begun <= 2
    slow.go_on.set()
    assert [each.html for each in await asyncio.gather(*asked)] == ["page"] * MANY


def page(path: str) -> Document:
    head = Head(
        tenant_id="t", space="s", branch=MAIN, document_id="doc_1", revision_id="rev_1", path=path, title="", owner="",
        size=len(LONG_PAGE), sha256="", created_by="ann", created_at=NOW, updated_by="ann", updated_at=NOW,
    )  # fmt: skip
    return Document(head, LONG_PAGE)


async def test_who_goes_while_their_work_is_done_makes_no_room_for_more() -> None:
    lane, go_on, begun = Lane(1), threading.Event(), threading.Semaphore(0)

    def work() -> None:
        begun.release()
        go_on.wait(30)

    first = asyncio.create_task(lane.run(LONG + 1, work))
    async with asyncio.timeout(10):
        assert await asyncio.to_thread(begun.acquire, timeout=9)
    first.cancel()
    second = asyncio.create_task(lane.run(LONG + 1, work))
    await asyncio.gather(first, return_exceptions=True)
    assert not await asyncio.to_thread(begun.acquire, timeout=0.2)
    go_on.set()
    async with asyncio.timeout(10):
        await second


async def test_a_failure_that_nobody_waits_for_any_more_leaves_the_place_free() -> None:
    lane, go_on, begun = Lane(1), threading.Event(), threading.Event()

    def fail() -> None:
        begun.set()
        go_on.wait(30)
        raise ValueError("too deep")

    first = asyncio.create_task(lane.run(LONG + 1, fail))
    assert await asyncio.to_thread(begun.wait, 9)
    first.cancel()
    go_on.set()
    with pytest.raises(ValueError, match="too deep"):
        await asyncio.wait_for(lane.run(LONG + 1, fail), 10)


async def test_the_links_of_a_kept_page_are_asked_about_beside_the_event_loop() -> None:
    threads: list[int] = []

    class Asking:
        def render(self, content: str, *, resolve: Resolve) -> str:
            return str(resolve("a.md"))

    def told(_: str) -> str:
        threads.append(threading.get_ident())
        return "there"

    pages = CachedRenderer(Asking(), MemoryCache(), version="1")
    for _ in range(2):
        assert await pages.render("text", scope="s", resolve=told) == "there"
    assert pages.hits == 1
    assert threading.get_ident() not in threads
