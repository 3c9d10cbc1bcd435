"""What has been counted, in SQL: the figures of a space."""

from __future__ import annotations

from automesh.storage.postgres import Connection, Database, Record
from services.doc.domain.analytics.figures import DayCount, DocumentCount, Figures, QueryCount, StalePage
from services.doc.domain.analytics.ports import FiguresQuery
from services.doc.store.validation import TARGETS

# $1 tenant, $2 space, $3 since, $4 today, $5 spaces whose searches count
DAYS = """
SELECT d.day, coalesce(v.views, 0) + coalesce(o.views, 0) AS views,
       coalesce(v.robot_views, 0) + coalesce(o.robot_views, 0) AS robot_views,
       coalesce(q.searches, 0) + coalesce(s.searches, 0) + coalesce(o.searches, 0) AS searches,
       coalesce(e.edits, 0) AS edits
  FROM (SELECT each::date AS day FROM generate_series($3::date, $4::date, interval '1 day') each) d
  LEFT JOIN (SELECT day, sum(views) AS views, sum(robot_views) AS robot_views FROM view_day
              WHERE tenant_id = $1 AND space = $2 AND day >= $3 GROUP BY day) v USING (day)
  LEFT JOIN (SELECT day, sum(views) FILTER (WHERE space = $2) AS views,
                    sum(robot_views) FILTER (WHERE space = $2) AS robot_views, sum(searches) AS searches FROM space_day
              WHERE tenant_id = $1 AND space = ANY ($5) AND day >= $3 GROUP BY day) o USING (day)
  LEFT JOIN (SELECT day, sum(searches) AS searches FROM query_day
              WHERE tenant_id = $1 AND space = ANY ($5) AND day >= $3 GROUP BY day) q USING (day)
  LEFT JOIN (SELECT searched_at::date AS day, count(*) AS searches FROM search_event
              WHERE tenant_id = $1 AND space = ANY ($5) AND searched_at >= $3 GROUP BY 1) s USING (day)
  LEFT JOIN (SELECT r.created_at::date AS day, count(*) AS edits FROM revision r JOIN document t USING (document_id)
              WHERE r.tenant_id = $1 AND r.created_at >= $3 AND t.space = $2 GROUP BY 1) e USING (day)
 ORDER BY d.day
"""
LIVE = """
  JOIN head h ON h.document_id = c.document_id AND h.branch = 'main' AND h.deleted_at IS NULL
 WHERE c.count > 0 ORDER BY c.count DESC, h.path LIMIT $4
"""
MOST_READ = f"""
SELECT c.document_id, h.path, h.title, c.count FROM (
    SELECT document_id, sum(views) AS count FROM (
        SELECT document_id, views FROM view_day WHERE tenant_id = $1 AND space = $2 AND day >= $3
        UNION ALL
        SELECT document_id, views FROM view_month
         WHERE tenant_id = $1 AND space = $2 AND month >= date_trunc('month', $3::date)) each GROUP BY document_id) c
{LIVE}"""  # noqa: S608 # made of constants
MOST_EDITED = f"""
SELECT c.document_id, h.path, h.title, c.count FROM (
    SELECT r.document_id, count(*) AS count FROM revision r JOIN document t USING (document_id)
     WHERE r.tenant_id = $1 AND t.space = $2 AND r.created_at >= $3::date GROUP BY r.document_id) c
{LIVE}"""  # noqa: S608 # made of constants
QUERIES = """
WITH counted AS (
    SELECT query, sum(without_results) AS without_results, sum(without_clicks) AS without_clicks FROM (
        SELECT e.query, (e.results = 0)::int AS without_results, (e.results > 0 AND c.search_id IS NULL)::int
               AS without_clicks
          FROM search_event e LEFT JOIN search_click c USING (tenant_id, search_id)
         WHERE e.tenant_id = $1 AND e.space = ANY ($2) AND e.searched_at >= $3::date
        UNION ALL
        SELECT query, without_results, without_clicks FROM query_day
         WHERE tenant_id = $1 AND space = ANY ($2) AND day >= $3
        UNION ALL
        SELECT query, without_results, without_clicks FROM query_month
         WHERE tenant_id = $1 AND space = ANY ($2) AND month >= date_trunc('month', $3::date)) each
     WHERE query <> '' GROUP BY query)
(SELECT 'results' AS kind, query, without_results AS count FROM counted WHERE without_results > 0
  ORDER BY without_results DESC, query LIMIT $4)
UNION ALL
(SELECT 'clicks', query, without_clicks FROM counted WHERE without_clicks > 0
  ORDER BY without_clicks DESC, query LIMIT $4)
"""
STALE = """
SELECT document_id, path, title, owner, updated_at, coalesce(review_at, updated_at + $3::interval) AS due_at
  FROM head WHERE tenant_id = $1 AND space = $2 AND branch = 'main' AND deleted_at IS NULL
   AND coalesce(review_at, updated_at + $3::interval) <= $4
 ORDER BY due_at, path LIMIT $5
"""
BROKEN = f"""
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT target_key FROM link WHERE tenant_id = $1 AND space = $2 AND branch = $3), {TARGETS}
SELECT c.document_id, h.path, h.title, c.count FROM (
    SELECT l.document_id, count(*) AS count FROM link l JOIN missing m USING (target_key)
     WHERE l.tenant_id = $1 AND l.space = $2 AND l.branch = $3 GROUP BY l.document_id) c
{LIVE}"""  # noqa: S608 # made of constants
DOCUMENTS = """
SELECT count(*) FROM head WHERE tenant_id = $1 AND space = $2 AND branch = 'main' AND deleted_at IS NULL
"""


class SqlFiguresStore:
    """A services.doc.domain.analytics.ports.FiguresStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def figures(self, query: FiguresQuery) -> Figures:
        """Some queries in one transaction, so that they fit each other."""
        where = (query.tenant_id, query.space)
        searched_in = [query.space, ""] if query.everywhere else [query.space]
        async with self._database.transaction(query.tenant_id) as tx:
            await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            days = await tx.fetch(DAYS, *where, query.since, query.today, searched_in)
            queries = await tx.fetch(QUERIES, query.tenant_id, searched_in, query.since, query.limit)
            stale = await tx.fetch(STALE, *where, query.review_after, query.now, query.limit)
            return Figures(
                days=[_day(row) for row in days],
                most_read=await _documents(tx, MOST_READ, *where, query.since, query.limit),
                most_edited=await _documents(tx, MOST_EDITED, *where, query.since, query.limit),
                without_results=[_query(row) for row in queries if row["kind"] == "results"],
                without_clicks=[_query(row) for row in queries if row["kind"] == "clicks"],
                stale=[StalePage(**dict(row)) for row in stale],
                broken_links=await _documents(tx, BROKEN, *where, "main", query.limit),
                documents=int(await tx.fetchval(DOCUMENTS, *where)),
            )


async def _documents(tx: Connection, query: str, *args: object) -> list[DocumentCount]:
    return [
        DocumentCount(row["document_id"], row["path"], row["title"], int(row["count"]))
        for row in await tx.fetch(query, *args)
    ]


def _day(row: Record) -> DayCount:
    return DayCount(row["day"], int(row["views"]), int(row["robot_views"]), int(row["searches"]), int(row["edits"]))


def _query(row: Record) -> QueryCount:
    return QueryCount(row["query"], int(row["count"]))
