"""A million events end in few rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from automesh.testing.postgres import PostgresForTests
from services.doc.domain.analytics.analytics import Analytics, Stores
from services.doc.domain.analytics.figures import Asked
from services.doc.engine.core import Core
from services.doc.loops.analytics import KEEP_QUERIES, AnalyticsRollUp
from services.doc.store.figures import SqlFiguresStore
from services.doc.store.rollup import SqlRollUp
from tests.integration.doc.doc_house_core import ANNA, doc_core, written

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEEP_DAYS = 60
SEARCHES = """
INSERT INTO search_event (tenant_id, search_id, space, query, results, searched_at)
SELECT 'default', 's' || n, 'guides',
       CASE WHEN n % 2 = 0 THEN 'query ' || n % 100 ELSE 'rare ' || n END, (n % 3 = 0)::int,
       $1::timestamptz - interval '1 hour' * (n % 24)
  FROM generate_series($2::int, $3::int) n
"""
VIEWS = """
INSERT INTO view_day (tenant_id, space, document_id, day, views, robot_views)
SELECT 'default', 'guides', d.document_id, $1::date - n, 2, 1 FROM document d, generate_series(0, $2) n
"""
ROWS = """
SELECT (SELECT count(*) FROM search_event) + (SELECT count(*) FROM query_day) + (SELECT count(*) FROM query_month)
     + (SELECT count(*) FROM view_day) + (SELECT count(*) FROM view_month) + (SELECT count(*) FROM space_day)
"""


@pytest.fixture
async def core(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Core]:
    async with doc_core(postgres, tmp_path, clock=lambda: NOW) as core:
        yield core


def analytics(core: Core) -> Analytics:
    figures = SqlFiguresStore(core.outside.database)
    stores = Stores(views=core.views, searches=core.searches, figures=figures, documents=core.documents)
    return Analytics(stores, core.recorder, core.reader, core.directory, clock=core.options.clock)


async def roll_up(core: Core, now: datetime) -> None:
    """As often as there is something to do."""
    rollup = AnalyticsRollUp(
        SqlRollUp(core.outside.database),
        clock=lambda: now,
        searches_for=timedelta(hours=1),
        days_for=timedelta(days=KEEP_DAYS),
        every_s=0,
    )
    before = -1
    while (rows := int(await core.outside.database.fetchval(ROWS, tenant="default"))) != before:
        before = rows
        await rollup.roll_up()


async def check(core: Core, events: int, batch: int) -> None:
    """The sums stay as they were; the rows become few."""
    database = core.outside.database
    for number in range(20):
        await written(core, f"page{number}.md", "x")
    await database.execute(VIEWS, NOW.date(), 699, tenant="default")
    for start in range(0, events, batch):
        await database.execute(SEARCHES, NOW - timedelta(days=1), start, start + batch - 1, tenant="default")
        await roll_up(core, NOW)
    whole = await analytics(core).figures(ANNA, "guides", Asked(days=730, entries=1000))
    assert sum(day.searches for day in whole.days) == events
    assert sum(day.views for day in whole.days) == 20 * 700 * 2
    assert sum(day.robot_views for day in whole.days) == 20 * 700
    assert whole.most_read[0].count == 700 * 2
    assert sum(each.count for each in whole.without_results) > events / 4  # the frequent ones at least
    rows = int(await database.fetchval(ROWS, tenant="default"))
    days_of_searches, months = 2, 24
    assert rows <= days_of_searches * (KEEP_QUERIES + 1) + 20 * (KEEP_DAYS + 1 + months) + 730
    later = NOW + timedelta(days=KEEP_DAYS + 40)
    await roll_up(core, later)
    assert int(await database.fetchval(ROWS, tenant="default")) <= 2 * (KEEP_QUERIES + 1) + 20 * (months + 3) + 760


async def test_many_events_end_in_few_rows(core: Core) -> None:
    await check(core, 40_000, 20_000)


@pytest.mark.slow
async def test_a_million_events_end_in_few_rows(core: Core) -> None:
    await check(core, 1_000_000, 100_000)


async def test_figures_of_spaces_that_are_gone_go_too_and_nothing_else(core: Core) -> None:
    await core.outside.database.execute(SEARCHES, NOW - timedelta(days=1), 1, 30, tenant="default")
    await core.outside.database.execute("UPDATE search_event SET space = '' WHERE search_id < 's2'", tenant="default")
    await core.outside.database.execute("DELETE FROM space", tenant="default")
    await roll_up(core, NOW)
    left = await core.outside.database.fetch("SELECT DISTINCT space FROM query_day", tenant="default")
    assert [row["space"] for row in left] == [""]


async def test_queries_that_count_most_stay_by_name(core: Core) -> None:
    await core.outside.database.execute(
        """
        INSERT INTO query_day (tenant_id, space, day, query, searches, without_results, without_clicks)
        SELECT 'default', 'guides', $1::date - 1, 'query ' || n, n, CASE WHEN n % 2 = 0 THEN n ELSE 0 END, 0
          FROM generate_series(1, 2000) n
        """,
        NOW.date(),
        tenant="default",
    )
    await roll_up(core, NOW)
    rows = await core.outside.database.fetch("SELECT query, searches FROM query_day", tenant="default")
    kept = {row["query"]: row["searches"] for row in rows}
    assert len(kept) == KEEP_QUERIES + 1
    assert kept["query 2000"] == 2000
    assert "query 1999" not in kept  # often looked for, but found
    assert sum(kept.values()) == 2000 * 2001 // 2
