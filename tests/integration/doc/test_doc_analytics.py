"""Analytics over gRPC, on a real database."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automesh.core.errors import ValidationError
from automesh.doc.v1 import analytics_service_pb2 as pb
from automesh.doc.v1 import analytics_service_pb2_grpc as rpc
from automesh.doc.v1 import document_pb2, space_pb2
from automesh.doc.v1 import space_service_pb2 as space_pb
from automesh.testing.postgres import PostgresForTests
from services.doc.domain.analytics.errors import AnonymousAnalytics
from services.doc.domain.errors import DocumentNotFound, RevisionNotFound, SpaceNotFound
from services.doc.domain.search.ports import Searched
from services.doc.loops.analytics import AnalyticsRollUp
from services.doc.store.rollup import SqlRollUp
from tests.integration.doc.doc_house import Served, doc_service, invalid, refused


async def stub(doc: Served, user: str = "ann") -> rpc.AnalyticsServiceAsyncStub:
    return rpc.AnalyticsServiceStub(await doc.channel(user))


async def view(doc: Served, document: document_pb2.Document, user: str = "ann", confirmed: str = "") -> None:
    request = pb.RecordViewRequest(document_id=document.document_id, confirmed_revision=confirmed)
    await (await stub(doc, user)).RecordView(request)


async def figures(doc: Served, user: str = "ann", **asked: Any) -> pb.GetSpaceStatisticsResponse:
    request = pb.GetSpaceStatisticsRequest(**{"space": "handbook", **asked})
    return await (await stub(doc, user)).GetSpaceStatistics(request)


async def readers(doc: Served, document: document_pb2.Document, **page: Any) -> pb.ListReadersResponse:
    request = pb.ListReadersRequest(document_id=document.document_id, **page)
    return await (await stub(doc)).ListReaders(request)


def searched(doc: Served, search_id: str, query: str, results: int, space: str = "handbook") -> None:
    search = Searched(search_id=search_id, tenant_id="default", space=space, person="ann", query=query, results=results)
    doc.engine.core.search_log.searched(search)


def counts(found: Any) -> dict[str, int]:
    return {getattr(each, "query", "") or each.path: each.count for each in found}


async def roll_up(doc: Served) -> None:
    options = doc.engine.core.options
    rollup = AnalyticsRollUp(
        SqlRollUp(doc.database),
        clock=options.clock,
        searches_for=timedelta(seconds=options.keep_searches_s),
        days_for=timedelta(days=options.keep_days),
        every_s=0,
    )
    await rollup.roll_up()


async def be_anonymous(doc: Served) -> None:
    spaces = await doc.spaces()
    space = (await spaces.GetSpace(space_pb.GetSpaceRequest(space="handbook"))).space
    space.rules.anonymous_analytics = True
    await spaces.UpdateSpace(space_pb.UpdateSpaceRequest(space=space))


async def test_a_person_counts_once_a_day_however_often_they_load_a_page(handbook: Served) -> None:
    document = await handbook.write()
    for _ in range(3):
        await view(handbook, document)
    await view(handbook, document, "ben")
    found = await figures(handbook)
    assert counts(found.most_read) == {"start.md": 2}
    assert (found.days[-1].views, found.days[-1].robot_views, found.days[-1].edits) == (2, 0, 1)
    assert (len(found.days), found.documents) == (30, 1)


async def test_the_next_day_they_count_again(postgres: PostgresForTests, tmp_path: Any) -> None:
    now = [datetime(2026, 3, 1, 23, 59, tzinfo=UTC)]
    async with doc_service(postgres, tmp_path, options={"clock": lambda: now[0]}) as doc:
        await doc.space()
        document = await doc.write()
        await view(doc, document)
        now[0] += timedelta(minutes=2)
        await view(doc, document)
        await view(doc, document)
        found = await figures(doc, days=2)
        assert [(each.day, each.views) for each in found.days] == [("2026-03-01", 1), ("2026-03-02", 1)]
        assert [each.views for each in (await figures(doc, days=1)).days] == [1]
        (reader,) = (await readers(doc, document)).readers
        assert reader.last_time.ToDatetime() == datetime(2026, 3, 2)  # noqa: DTZ001 - as messages have it


async def test_who_has_read_it_and_who_has_confirmed_an_older_revision(handbook: Served) -> None:
    document = await handbook.write()
    await view(handbook, document, "ben", confirmed=document.head)
    await view(handbook, document, "cleo")
    await view(handbook, document, "ben")  # only opened: what was confirmed stays
    (cleo, ben) = (await readers(handbook, document)).readers
    assert (cleo.user, cleo.confirmed_revision, cleo.outdated) == ("cleo", "", False)
    assert (ben.user, ben.confirmed_revision, ben.outdated) == ("ben", document.head, False)
    await handbook.edit(document, "# Start\n\nNew rules.\n")
    assert [each.outdated for each in (await readers(handbook, document)).readers] == [False, True]
    first = await readers(handbook, document, page_size=1)
    rest = await readers(handbook, document, page_size=1, page_token=first.next_page_token)
    assert ([each.user for each in (*first.readers, *rest.readers)], rest.next_page_token) == (["cleo", "ben"], "")


async def test_a_revision_that_the_document_never_had_cannot_be_confirmed(handbook: Served) -> None:
    document, other = await handbook.write(), await handbook.write("other.md")
    assert isinstance(await refused(view(handbook, document, confirmed=other.head)), RevisionNotFound)
    document.document_id = "doc_none"
    assert isinstance(await refused(view(handbook, document)), DocumentNotFound)


async def test_a_space_that_stores_no_person_counts_all_the_same_and_forgets_who_read(
    postgres: PostgresForTests, tmp_path: Any
) -> None:
    async with doc_service(postgres, tmp_path, options={"clean_every_s": 0.05}) as doc:
        await doc.space()
        document = await doc.write()
        await view(doc, document, "ben")
        await be_anonymous(doc)
        assert isinstance(await refused(readers(doc, document)), AnonymousAnalytics)
        assert isinstance(await refused(view(doc, document, confirmed=document.head)), AnonymousAnalytics)
        for _ in range(2):
            await view(doc, document, "cleo")
        assert counts((await figures(doc)).most_read) == {"start.md": 2}
        while await doc.database.fetchval("SELECT count(*) FROM reader", tenant="default"):
            pass  # each round is a query; the test's own time limit ends it
        named = "tablename ~ 'view_|visit|reader|search_|query_'"
        tables = await doc.database.fetch(
            f"SELECT tablename FROM pg_tables WHERE schemaname = 'doc' AND {named}",  # noqa: S608
            tenant=None,
        )
        for table in (row["tablename"] for row in tables):
            rows = await doc.database.fetch(f"SELECT t::text AS row FROM {table} t", tenant="default")  # noqa: S608
            assert not [each for each in rows if "cleo" in each["row"] or "ben" in each["row"]], table


async def test_pages_of_published_sites_count_visitors_once_a_day_and_robots_apart(handbook: Served) -> None:
    await handbook.write("guides/start.md")
    recorder = handbook.engine.core.recorder
    for visitor, robot in (("v1", False), ("v1", False), ("v2", False), ("bot", True)):
        recorder.seen("default", "handbook", "guides/start.md", visitor, robot=robot)
    recorder.seen("default", "handbook", "guides/none.md", "v1", robot=False)
    recorder.seen("elsewhere", "handbook", "guides/start.md", "v9", robot=False)
    await recorder.write()
    recorder.seen("default", "handbook", "guides/start", "v2", robot=False)
    await recorder.write()
    day = (await figures(handbook)).days[-1]
    assert (day.views, day.robot_views) == (2, 1)
    rows = await handbook.database.fetch("SELECT visitor FROM visit", tenant="default")
    assert all(len(row["visitor"]) == 16 for row in rows)


async def test_salts_and_hashes_are_gone_when_the_day_is_over(postgres: PostgresForTests, tmp_path: Any) -> None:
    now = [datetime(2026, 3, 1, 12, tzinfo=UTC)]
    async with doc_service(postgres, tmp_path, options={"clock": lambda: now[0], "roll_up_every_s": 0.05}) as doc:
        await doc.space()
        await doc.write()
        recorder = doc.engine.core.recorder
        recorder.seen("default", "handbook", "start.md", "v1", robot=False)
        await recorder.write()
        first = await recorder.visitor(now[0].date(), "v1")
        now[0] += timedelta(days=1)
        kept = "SELECT (SELECT count(*) FROM visit) + (SELECT count(*) FROM day_salt)"
        while await doc.database.fetchval(kept, tenant="default"):
            pass  # each round is a query; the test's own time limit ends it
        assert await recorder.visitor(now[0].date(), "v1") != first
        assert [each.views for each in (await figures(doc, days=2)).days] == [1, 0]


async def test_searches_in_vain_and_without_a_click_are_told_apart(handbook: Served) -> None:
    document = await handbook.write()
    recorder = handbook.engine.core.recorder
    searched(handbook, "s1", "  Missing   THING ", 0)
    searched(handbook, "s2", "missing thing", 0, space="")
    searched(handbook, "s3", "start", 4)
    searched(handbook, "s4", "start", 4)
    searched(handbook, "s5", "elsewhere", 0, space="other")
    searched(handbook, "s6", "\x00 ", 0)
    await (await stub(handbook)).RecordClick(
        pb.RecordClickRequest(search_id="s3", document_id=document.document_id, rank=1)
    )
    await recorder.write()
    found = await figures(handbook)
    assert (counts(found.without_results), counts(found.without_clicks)) == ({"missing thing": 2}, {"start": 1})
    assert found.days[-1].searches == 4


async def test_figures_are_the_same_before_and_after_they_are_rolled_up(
    postgres: PostgresForTests, tmp_path: Any
) -> None:
    now = [datetime(2026, 3, 31, 12, tzinfo=UTC)]
    options = {"clock": lambda: now[0], "keep_searches_s": 3600.0, "keep_days": 30, "roll_up_every_s": 3600.0}
    async with doc_service(postgres, tmp_path, options=options) as doc:
        await doc.space()
        document = await doc.write()
        recorder = doc.engine.core.recorder
        for number in range(3):
            searched(doc, f"empty{number}", "nothing", 0)
            searched(doc, f"full{number}", "something", 3)
        await (await stub(doc)).RecordClick(
            pb.RecordClickRequest(search_id="full0", document_id=document.document_id, rank=1)
        )
        await view(doc, document)
        await recorder.write()
        rolled = []
        for later in (timedelta(0), timedelta(hours=2), timedelta(days=40)):
            now[0] += later
            await roll_up(doc)
            found = await figures(doc, days=60)
            day = next(each for each in found.days if each.day == "2026-03-31")
            rolled.append(
                (
                    day.views,
                    day.searches,
                    counts(found.without_results),
                    counts(found.without_clicks),
                    counts(found.most_read),
                )
            )
        assert rolled == [(1, 6, {"nothing": 3}, {"something": 2}, {"start.md": 1})] * 3
        for table in ("search_event", "search_click", "query_day", "view_day"):
            assert await doc.database.fetchval(f"SELECT count(*) FROM {table}", tenant="default") == 0, table  # noqa: S608


async def test_stale_pages_come_with_their_owner_the_most_overdue_first(handbook: Served) -> None:
    await handbook.write("fresh.md")
    await handbook.write("due.md", "---\nreview: 2020-01-01\nowner: cleo\n---\n# Due\n")
    await handbook.write("later.md", "---\nreview: 2999-01-01\n---\n# Later\n")
    old = await handbook.write("old.md")
    await handbook.database.execute(
        "UPDATE head SET updated_at = now() - interval '200 days' WHERE document_id = $1",
        old.document_id,
        tenant="default",
    )
    found = (await figures(handbook)).stale
    assert [(each.path, each.owner, each.title) for each in found] == [
        ("due.md", "cleo", "Due"),
        ("old.md", "ann", "Start"),
    ]
    assert found[1].due_time.ToDatetime(tzinfo=UTC) - found[1].update_time.ToDatetime(tzinfo=UTC) == timedelta(days=180)


async def test_links_that_lead_nowhere_and_pages_that_change_much(handbook: Served) -> None:
    first = await handbook.write("a.md", "[b](b.md) [gone](gone.md) [x](x/y.md) ![p](p.png)\n")
    await handbook.write("b.md", "[a](a.md#top) [out](https://example.org/)\n")
    await handbook.edit(first, "[b](b.md) [gone](gone.md) [x](x/y.md)\n")
    found = await figures(handbook)
    assert counts(found.broken_links) == {"a.md": 2}
    assert counts(found.most_edited) == {"a.md": 2, "b.md": 1}
    assert counts((await figures(handbook, page_size=1)).most_edited) == {"a.md": 2}


async def test_figures_can_be_taken_along_as_csv_or_json(handbook: Served) -> None:
    document = await handbook.write("a.md", "# =HYPERLINK(1)\n")
    await view(handbook, document)
    searched(handbook, "s1", "@sum(1)", 0)
    await handbook.engine.core.recorder.write()
    analytics = await stub(handbook)
    found = await analytics.ExportStatistics(pb.ExportStatisticsRequest(space="handbook", days=1))
    lines = list(csv.DictReader(io.StringIO(found.data.decode())))
    assert found.content_type == "text/csv; charset=utf-8"
    assert [each["count"] for each in lines if each["kind"] == "views"] == ["1"]
    assert next(each["title"] for each in lines if each["kind"] == "most_read") == "'=HYPERLINK(1)"
    assert next(each["name"] for each in lines if each["kind"] == "without_results") == "'@sum(1)"
    as_json = await analytics.ExportStatistics(pb.ExportStatisticsRequest(space="handbook", format="json"))
    assert json.loads(as_json.data)["most_read"][0]["path"] == "a.md"
    error = await invalid(analytics.ExportStatistics(pb.ExportStatisticsRequest(space="handbook", format="xls")))
    assert error.violations[0].field == "format"


@pytest.mark.parametrize("asked", [{"days": -1}, {"days": 731}, {"page_size": -1}])
async def test_what_cannot_be_asked_is_said(handbook: Served, asked: dict[str, Any]) -> None:
    assert isinstance(await refused(figures(handbook, **asked)), ValidationError)


async def test_a_space_of_members_tells_its_figures_to_nobody_else(doc: Served) -> None:
    await doc.space("closed", visibility=space_pb2.VISIBILITY_MEMBERS)
    assert isinstance(await refused(figures(doc, space="closed")), SpaceNotFound)


async def test_searches_are_lost_rather_than_that_anybody_waits(handbook: Served) -> None:
    recorder = handbook.engine.core.recorder
    for number in range(10_500):
        searched(handbook, f"s{number}", "many", 0)
    assert recorder.lost == 500
