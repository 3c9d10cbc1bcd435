"""What keeps analytics small, in SQL. Of all replicas one does a piece at a time."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from automesh.storage.postgres import ENGINE, Connection, Database, row_count

AT_ONCE = 20_000
"""Rows of one piece."""
LATELY = timedelta(days=7)
LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('doc.analytics.rollup', 0))"
FORGET_PERSONS = """
WITH gone AS (DELETE FROM reader WHERE ctid = ANY (ARRAY(
    SELECT r.ctid FROM reader r JOIN space s USING (tenant_id, space)
     WHERE (s.rules->>'anonymous_analytics')::bool LIMIT $1)) RETURNING 1)
SELECT count(*) FROM gone
"""
FORGET_SALTS = "DELETE FROM day_salt WHERE day < $1"
FORGET_VISITS = """
WITH gone AS (DELETE FROM visit WHERE ctid = ANY (ARRAY(SELECT ctid FROM visit WHERE day < $1 LIMIT $2)) RETURNING 1)
SELECT count(*) FROM gone
"""
FOLD_SEARCHES = """
WITH old AS (DELETE FROM search_event WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM search_event WHERE searched_at < $1 ORDER BY searched_at LIMIT $2)) RETURNING *),
folded AS (
    INSERT INTO query_day (tenant_id, space, day, query, searches, without_results, without_clicks)
    SELECT o.tenant_id, o.space, o.searched_at::date, o.query, count(*), count(*) FILTER (WHERE o.results = 0),
           count(*) FILTER (WHERE o.results > 0 AND c.search_id IS NULL)
      FROM old o LEFT JOIN search_click c USING (tenant_id, search_id) GROUP BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, space, day, query) DO UPDATE
       SET searches = query_day.searches + excluded.searches,
           without_results = query_day.without_results + excluded.without_results,
           without_clicks = query_day.without_clicks + excluded.without_clicks),
opened AS (DELETE FROM search_click c USING old o
            WHERE (c.tenant_id, c.search_id) = (o.tenant_id, o.search_id))
SELECT count(*) FROM old
"""
FORGET_CLICKS = """
DELETE FROM search_click WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM search_click WHERE clicked_at < $1::timestamptz - interval '1 day' LIMIT $2))
"""
FOLD_VIEWS = """
WITH old AS (DELETE FROM view_day WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM view_day WHERE day < $1 ORDER BY day LIMIT $2)) RETURNING *),
months AS (
    INSERT INTO view_month (tenant_id, space, document_id, month, views, robot_views)
    SELECT tenant_id, space, document_id, date_trunc('month', day)::date, sum(views), sum(robot_views)
      FROM old GROUP BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, space, month, document_id) DO UPDATE
       SET views = view_month.views + excluded.views, robot_views = view_month.robot_views + excluded.robot_views),
points AS (
    INSERT INTO space_day (tenant_id, space, day, views, robot_views)
    SELECT tenant_id, space, day, sum(views), sum(robot_views) FROM old GROUP BY 1, 2, 3
    ON CONFLICT (tenant_id, space, day) DO UPDATE
       SET views = space_day.views + excluded.views, robot_views = space_day.robot_views + excluded.robot_views)
SELECT count(*) FROM old
"""
FOLD_QUERIES = """
WITH old AS (DELETE FROM query_day WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM query_day WHERE day < $1 ORDER BY day LIMIT $2)) RETURNING *),
months AS (
    INSERT INTO query_month (tenant_id, space, month, query, searches, without_results, without_clicks)
    SELECT tenant_id, space, date_trunc('month', day)::date, query, sum(searches), sum(without_results),
           sum(without_clicks)
      FROM old GROUP BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, space, month, query) DO UPDATE
       SET searches = query_month.searches + excluded.searches,
           without_results = query_month.without_results + excluded.without_results,
           without_clicks = query_month.without_clicks + excluded.without_clicks),
points AS (
    INSERT INTO space_day (tenant_id, space, day, searches)
    SELECT tenant_id, space, day, sum(searches) FROM old GROUP BY 1, 2, 3
    ON CONFLICT (tenant_id, space, day) DO UPDATE SET searches = space_day.searches + excluded.searches)
SELECT count(*) FROM old
"""
TRIM = """
WITH crowded AS (
    SELECT tenant_id, space, {day} FROM {table} WHERE {day} >= $3 AND {day} < $1 AND query <> ''
     GROUP BY 1, 2, 3 HAVING count(*) > $2 ORDER BY 3 LIMIT 10),
ranked AS (
    SELECT q.ctid AS place, q.*, row_number() OVER (
               PARTITION BY q.tenant_id, q.space, q.{day}
               ORDER BY q.without_results + q.without_clicks DESC, q.searches DESC, q.query) AS rank
      FROM {table} q JOIN crowded USING (tenant_id, space, {day}) WHERE q.query <> ''),
gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT place FROM ranked WHERE rank > $2)) RETURNING *),
rest AS (
    INSERT INTO {table} (tenant_id, space, {day}, query, searches, without_results, without_clicks)
    SELECT tenant_id, space, {day}, '', sum(searches), sum(without_results), sum(without_clicks)
      FROM gone GROUP BY 1, 2, 3
    ON CONFLICT (tenant_id, space, {day}, query) DO UPDATE
       SET searches = {table}.searches + excluded.searches,
           without_results = {table}.without_results + excluded.without_results,
           without_clicks = {table}.without_clicks + excluded.without_clicks)
SELECT count(*) FROM gone
"""
TRIM_DAYS, TRIM_MONTHS = TRIM.format(table="query_day", day="day"), TRIM.format(table="query_month", day="month")
AGED = (("view_month", "month"), ("query_month", "month"), ("space_day", "day"))
FORGET = "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {day} < $1 LIMIT $2))"
FORGET_SPACES = """
DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT q.ctid FROM {table} q WHERE q.space <> ''
   AND NOT EXISTS (SELECT FROM space s WHERE (s.tenant_id, s.space) = (q.tenant_id, q.space)) LIMIT $1))
"""
OF_SPACES = ("search_event", "query_day", "query_month", "space_day")


class SqlRollUp:
    """A services.doc.domain.analytics.ports.RollUp."""

    def __init__(self, database: Database, *, at_once: int = AT_ONCE) -> None:
        self._database, self._at_once = database, at_once

    async def forget_persons(self) -> bool:
        """Rows of readers in spaces that store no person."""
        return await self._piece((FORGET_PERSONS, self._at_once))

    async def forget_days(self, today: date) -> bool:
        """The salts first: without them the hashes tell nothing."""
        await self._database.execute(FORGET_SALTS, today, tenant=ENGINE)
        return await self._piece((FORGET_VISITS, today, self._at_once))

    async def fold_searches(self, before: datetime) -> bool:
        """Clicks that no search came for go as well."""
        await self._database.execute(FORGET_CLICKS, before, self._at_once, tenant=ENGINE)
        return await self._piece((FOLD_SEARCHES, before, self._at_once))

    async def fold_days(self, before: date) -> bool:
        """Views and queries."""
        return await self._piece((FOLD_VIEWS, before, self._at_once), (FOLD_QUERIES, before, self._at_once))

    async def trim_queries(self, today: date, keep: int, *, folded: date) -> bool:
        """Ten crowded days or months at once, of those that anything was added to lately."""
        days_since, months_since = today - LATELY, folded.replace(day=1) - LATELY
        return await self._piece((TRIM_DAYS, today, keep, days_since), (TRIM_MONTHS, today, keep, months_since))

    async def forget(self, before: date) -> bool:
        """Also of spaces that are gone."""
        async with self._database.transaction(ENGINE) as tx:
            if not await tx.fetchval(LOCK):
                return False
            for table in OF_SPACES:
                await tx.execute(FORGET_SPACES.format(table=table), self._at_once)
            gone = [
                row_count(await tx.execute(FORGET.format(table=table, day=day), before, self._at_once))
                for table, day in AGED
            ]
        return any(count >= self._at_once for count in gone)

    async def _piece(self, *statements: tuple[object, ...]) -> bool:
        """Whether anything was done; nothing while another replica is at it."""
        async with self._database.transaction(ENGINE) as tx:
            if not await tx.fetchval(LOCK):
                return False
            return any([await _count(tx, *statement) for statement in statements])


async def _count(tx: Connection, statement: object, *args: object) -> int:
    return int(await tx.fetchval(str(statement), *args))
