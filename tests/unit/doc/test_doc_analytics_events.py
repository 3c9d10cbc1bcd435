"""What waits in memory, and what a query is counted as."""

from datetime import UTC, date, datetime

import pytest

from automesh.core.errors import Unavailable
from services.doc.domain.analytics.errors import AnonymousAnalytics, anonymous
from services.doc.domain.analytics.events import MAX_QUERY, SearchDone, Waiting, plain_query
from services.doc.domain.analytics.export import to_csv
from services.doc.domain.analytics.figures import DayCount, DocumentCount, Figures
from services.doc.domain.analytics.recorder import Recorder
from services.doc.domain.search.ports import Searched


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("  How   To\tSTART ", "how to start"),
        ("a\x00b", "a b"),
        ("\x00\n", ""),
        ("x" * 1000, "x" * MAX_QUERY),
        ("", ""),
    ],
)
def test_queries_that_ask_the_same_count_as_one(query: str, expected: str) -> None:
    assert plain_query(query) == expected


def test_a_full_buffer_loses_the_new_and_counts_them() -> None:
    waiting: Waiting[int] = Waiting(3)
    for number in range(5):
        waiting.add(number)
    assert (list(waiting.take(2)), len(waiting), waiting.lost) == ([0, 1], 1, 2)


def test_what_could_not_be_written_is_first_again_as_far_as_there_is_room() -> None:
    waiting: Waiting[int] = Waiting(3)
    for number in range(3):
        waiting.add(number)
    batch = waiting.take(2)
    waiting.add(3)
    waiting.put_back(batch)
    assert (list(waiting.take(9)), waiting.lost) == ([0, 2, 3], 1)


class FailingSearches:
    """A SearchStore that is away at first."""

    def __init__(self) -> None:
        self.away = True
        self.written: list[SearchDone] = []

    async def searched(self, searches: list[SearchDone]) -> None:
        if self.away:
            raise Unavailable("away")
        self.written += searches

    async def clicked(self, tenant_id: str, search_id: str, document_id: str, rank: int, now: datetime) -> None:
        raise NotImplementedError


async def test_searches_wait_while_the_database_is_away_and_nobody_is_named() -> None:
    store = FailingSearches()
    recorder = Recorder(None, store, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))  # type: ignore[arg-type] # no views here
    recorder.searched(Searched(search_id="s1", tenant_id="default", space="", person="anna", query="words", results=0))
    with pytest.raises(Unavailable):
        await recorder.write()
    store.away = False
    assert await recorder.write() == 1
    assert "anna" not in repr(store.written)
    assert [each.query for each in store.written] == ["words"]


def test_a_spreadsheet_takes_nothing_for_a_formula() -> None:
    document = DocumentCount("doc_1", "@a.md", "=1+1", 3)
    figures = Figures(
        days=[DayCount(date(2026, 1, 1), 1, 2, 3, 4)],
        most_read=[document],
        most_edited=[],
        without_results=[],
        without_clicks=[],
        stale=[],
        broken_links=[],
        documents=1,
    )
    lines = to_csv(figures).split("\r\n")
    assert lines[0] == "kind,name,path,title,count"
    assert "most_read,doc_1,'@a.md,'=1+1,3" in lines


def test_where_no_person_is_stored_it_says_who_can_change_that() -> None:
    assert isinstance(anonymous("guides"), AnonymousAnalytics)
    assert "owners" in anonymous("guides").message
