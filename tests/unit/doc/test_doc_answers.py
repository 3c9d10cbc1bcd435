"""Answers of searches come back from other replicas, and only to the very question, asked of the very documents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.doc.domain.caching.memory import MemoryCache
from services.doc.domain.search.answer import Answer, Result, packed, unpacked
from services.doc.domain.search.answers import MAX_WAITING, REMEMBERED, Answers, Asked
from services.doc.domain.search.errors import IndexNotReady
from services.doc.domain.search.plan import Filters, Hit
from services.doc.domain.search.question import SearchRequest
from services.doc.domain.search.snippet import Snippet

LIMIT_S = 10
AT = datetime(2026, 3, 4, 5, 6, 7, 891, tzinfo=UTC)
HIT = Hit(
    document_id="doc_1",
    space="docs",
    path="a.md",
    title="Ä \ud800 title",
    tags=["x", "y"],
    changed_at=AT,
    heading="Rolling back",
    anchor="rolling-back",
    text="",
    score=1 / 3,
)
FOUND = Answer([Result(HIT, Snippet("… roll back", [(2, 6)]))], True, {"rol": "roll"})


class Index:
    """As much of a SearchIndex as answers need."""

    engine = "tantivy"

    def __init__(self, edition: int, contents: str | None) -> None:
        self.at: int | None = edition
        self.has = contents
        self.read = 0

    def edition(self, tenant_id: str) -> object | None:
        return self.at

    async def contents(self, tenant_id: str) -> str | None:
        self.read += 1
        if self.at is None:
            raise IndexNotReady("being built")
        return self.has


class Shared(MemoryCache):
    """As Redis: all replicas see it."""

    shared = True


def asked(index: Index, spaces: Sequence[str] = ("docs",), tenant_id: str = "acme", **request: object) -> Asked:
    filters = Filters(spaces=tuple(spaces))
    wanted = replace(SearchRequest(query="roll back"), **request)  # type: ignore[arg-type]  # fields, built from a dict
    return Asked(index, index.at, tenant_id, filters, wanted)  # type: ignore[arg-type]  # fields, built from a dict


async def shared_by(index: Index) -> Shared:
    """A cache with the answer of a replica."""
    cache = Shared()
    one = Answers(cache)
    one.keep(asked(index), FOUND)
    await one.share()
    return cache


async def recalled(cache: Shared, question: Asked) -> Answer | None:
    """By a replica that knows what its index has."""
    two = Answers(cache)
    other = replace(question, request=SearchRequest(query="another"))
    two.keep(other, Answer())
    async with asyncio.timeout(LIMIT_S):
        await two.share()
    return await two.recall(question)


def test_an_answer_is_the_same_after_it_was_kept() -> None:
    assert unpacked(packed(FOUND)) == FOUND
    assert unpacked(packed(Answer())) == Answer([])


@pytest.mark.parametrize("rubbish", [b"", b"null", b"[]", b"\xff", b"[[[1]], 0, {}]", b'[[[{"a": 1}, "", []]], 0, {}]'])
def test_what_is_no_answer_is_none(rubbish: bytes) -> None:
    assert unpacked(rubbish) is None


async def test_another_replica_with_the_same_documents_takes_the_answer_as_it_is() -> None:
    cache = await shared_by(Index(1, "same"))

    assert await recalled(cache, asked(Index(77, "same"))) == FOUND


@pytest.mark.parametrize(
    "other",
    [
        {"spaces": ["docs", "board"]},
        {"spaces": ["board"]},
        {"tenant_id": "globex"},
        {"query": "roll  back"},
        {"space": "docs"},
        {"tag": "x"},
        {"author": "x"},
        {"since": AT},
        {"before": AT},
        {"offset": 10},
        {"limit": 11},
    ],
)
async def test_another_question_is_never_given_that_answer(other: dict[str, object]) -> None:
    cache = await shared_by(Index(1, "same"))

    assert await recalled(cache, asked(Index(77, "same"), **other)) is None  # type: ignore[arg-type]  # fields, built from a dict


async def test_another_state_or_engine_of_an_index_is_never_given_that_answer() -> None:
    cache = await shared_by(Index(1, "same"))
    other = Index(1, "same")
    other.engine = "other"

    assert await recalled(cache, asked(Index(1, "other"))) is None
    assert await recalled(cache, asked(other)) is None
    assert await recalled(cache, asked(Index(1, "same"))) == FOUND


async def test_an_index_that_has_moved_on_shares_no_answer_of_before() -> None:
    cache, index = Shared(), Index(1, "before")
    answers = Answers(cache)
    before = asked(index)
    index.at, index.has = 2, "after"
    answers.keep(before, FOUND)
    assert await answers.recall(before) is None

    answers.keep(asked(index), FOUND)
    index.at, index.has = 3, "later"
    await answers.share()
    assert await recalled(cache, asked(Index(2, "after"))) is None
    assert await recalled(cache, asked(index)) is None


async def test_what_an_index_has_is_read_once_for_all_answers_of_that_time() -> None:
    index = Index(1, "same")
    answers = Answers(Shared())
    for number in range(5):
        answers.keep(asked(index, offset=number), FOUND)
        await answers.share()

    assert index.read == 1


async def test_an_index_that_cannot_say_what_it_has_shares_nothing() -> None:
    cache, index = Shared(), Index(1, None)
    answers = Answers(cache)
    answers.keep(asked(index), FOUND)
    await answers.share()
    answers.keep(asked(index, offset=1), FOUND)
    index.at = None
    await answers.share()

    assert await recalled(cache, asked(Index(1, "same"))) is None


async def test_rubbish_of_the_cache_is_no_answer() -> None:
    class Rubbish(Shared):
        async def get(self, key: str) -> bytes | None:
            return b"rubbish"

    index = Index(1, "same")
    answers = Answers(Rubbish())
    answers.keep(asked(index, offset=1), FOUND)
    await answers.share()

    assert await answers.recall(asked(index)) is None


async def test_where_no_other_replica_sees_the_cache_it_is_left_alone() -> None:
    class Untouchable(MemoryCache):
        async def get(self, key: str) -> bytes | None:
            raise AssertionError

        async def set(self, key: str, value: bytes, *, ttl_s: float) -> None:
            raise AssertionError

    index = Index(1, "same")
    answers = Answers(Untouchable())
    assert await answers.recall(asked(index)) is None
    answers.keep(asked(index), FOUND)

    assert await answers.recall(asked(index)) == FOUND
    assert index.read == 0


async def test_answers_that_wait_and_answers_that_are_remembered_are_bounded() -> None:
    class Counting(Shared):
        kept = 0

        async def set(self, key: str, value: bytes, *, ttl_s: float) -> None:
            self.kept += 1

    cache, index = Counting(), Index(1, "same")
    answers = Answers(cache)
    for number in range(REMEMBERED + 1):
        answers.keep(asked(index, offset=number), FOUND)

    for _ in range(MAX_WAITING):
        await answers.share()
    assert cache.kept == MAX_WAITING
    assert await answers.recall(asked(index)) is None
    assert await answers.recall(asked(index, offset=1)) == FOUND
