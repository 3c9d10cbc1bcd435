"""The index in the database, where several replicas follow, build and ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automesh.testing.databases import OpenDatabase
from services.doc.domain.search.errors import IndexNotReady
from services.doc.domain.search.following import PageReader
from services.doc.store.search_index import PostgresIndex
from tests.contract.doc_search_indexes import TENANT, Searched, searched


@pytest.fixture
async def docs(open_database: OpenDatabase, tmp_path: Path) -> AsyncIterator[Searched]:
    database = await open_database("doc", "services.doc.migrations")
    async with searched("postgres", database, tmp_path) as made:
        await made.space()
        yield made


async def test_a_page_that_two_write_at_once_is_there_once(docs: Searched) -> None:
    index = docs.index
    assert isinstance(index, PostgresIndex)
    await docs.follow()
    heads = [await docs.write(f"p{number}.md", "# Page\n\nzebra\n") for number in range(5)]
    pages = await PageReader(docs.documents).read(TENANT, heads)

    await asyncio.gather(*(index.write_all(TENANT, pages) for _ in range(4)))

    assert sorted(await docs.paths("zebra")) == [head.path for head in heads]


async def test_an_index_that_has_read_little_yet_does_not_say_that_there_is_nothing(docs: Searched) -> None:
    heads = [await docs.write(f"p{number}.md", "# Zebra\n\nzebra\n") for number in range(12)]
    with pytest.raises(IndexNotReady):
        await docs.find("zebra")
    with pytest.raises(IndexNotReady):
        await docs.index.titles(TENANT, ["docs"], [], "ze", 10)

    await docs.follower.follow()
    async with docs.index.build(TENANT, 0) as sink:
        assert sink is not None
        await sink.add(await PageReader(docs.documents).read(TENANT, heads[:3]))
        with pytest.raises(IndexNotReady):
            await docs.find("zebra")
        await sink.add(await PageReader(docs.documents).read(TENANT, heads[3:]))
        await docs.write("fresh.md", "# Fresh\n\nzebra\n")
        assert len((await docs.found("zebra", limit=50))[0]) == len(heads)  # most are there: it does not wait for one


async def test_an_index_that_is_built_anew_answers_meanwhile_with_what_it_had(docs: Searched) -> None:
    await docs.write("a.md", "# A\n\nzebra\n")
    await docs.follow()

    await docs.index.begin(0, [TENANT])

    assert await docs.paths("zebra") == ["a.md"]
