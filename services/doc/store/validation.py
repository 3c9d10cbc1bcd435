"""Links, their targets and their anchors in SQL: always whole sets at once, never a query a link."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from automesh.storage.postgres import Database
from services.doc.domain.validation.report import BrokenLink
from services.doc.domain.validation.targets import Found

# What the keys of `wanted` lead to: a document of that path, the index of a folder of that path, a document that had
# the path before. Attachments and folders without an index are there, too, but have no anchors. In order "0" is next to
# "/": what is in a folder lies between the two.
TARGETS = """
aliases AS MATERIALIZED (
    SELECT w.target_key, a.path_key FROM wanted w,
           LATERAL (VALUES (ltrim(w.target_key || '/index.md', '/')),
                           (ltrim(w.target_key || '/readme.md', '/'))) AS a (path_key)
     WHERE w.target_key NOT LIKE '%.md'
), target AS MATERIALIZED (
    SELECT DISTINCT ON (target_key) target_key, document_id FROM (
        SELECT w.target_key, h.document_id, 1 AS rank
          FROM wanted w JOIN head h ON h.path_key = w.target_key
         WHERE h.tenant_id = $1 AND h.space = $2 AND h.branch = $3 AND h.deleted_at IS NULL
        UNION ALL
        SELECT a.target_key, h.document_id, 2
          FROM aliases a JOIN head h ON h.path_key = a.path_key
         WHERE h.tenant_id = $1 AND h.space = $2 AND h.branch = $3 AND h.deleted_at IS NULL
        UNION ALL
        SELECT w.target_key, h.document_id, 3
          FROM wanted w JOIN redirect r ON r.path_key = w.target_key
          JOIN head h ON h.document_id = r.document_id AND h.branch = r.branch
         WHERE r.tenant_id = $1 AND r.space = $2 AND r.branch = $3 AND h.deleted_at IS NULL
    ) t ORDER BY target_key, rank
), missing AS MATERIALIZED (
    SELECT w.target_key FROM wanted w
     WHERE w.target_key NOT IN (SELECT t.target_key FROM target t)
       AND NOT EXISTS (SELECT FROM attachment f WHERE f.tenant_id = $1 AND f.space = $2 AND f.branch = $3
                                                  AND f.path_key = w.target_key)
       AND (w.target_key LIKE '%.md' OR NOT EXISTS (
           SELECT FROM head h
            WHERE h.tenant_id = $1 AND h.space = $2 AND h.branch = $3 AND h.deleted_at IS NULL
              AND (w.target_key = '' OR (h.path_key > w.target_key || '/' AND h.path_key < w.target_key || '0'))))
)
"""
LOOK_UP = f"""
WITH wanted AS MATERIALIZED (SELECT DISTINCT * FROM unnest($4::text[]) AS w (target_key)), {TARGETS}
SELECT target_key, NULL AS anchors FROM missing
UNION ALL
SELECT t.target_key, coalesce(a.anchors, '{{}}')
  FROM target t LEFT JOIN anchor a ON a.document_id = t.document_id AND a.branch = $3
 WHERE (t.target_key IN (SELECT * FROM unnest($5::text[]))) IS TRUE -- hashed, whatever the planner expects
"""  # noqa: S608 - of constants
NAMED = """
SELECT DISTINCT ON (name) n.name, h.path
  FROM unnest($4::text[]) AS n (name)
  JOIN head h ON split_part(h.path_key, '/', -1) IN (n.name, n.name || '.md')
 WHERE h.tenant_id = $1 AND h.space = $2 AND h.branch = $3 AND h.deleted_at IS NULL
 ORDER BY name, length(h.path), h.path
"""
SOURCES = """
sources AS MATERIALIZED (
    SELECT document_id, target_key, target, anchor, line, picture FROM link
     WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND document_id = ANY($4)
), wanted AS MATERIALIZED (SELECT DISTINCT target_key FROM sources)
"""
FIRST = """
SELECT document_id, target, anchor, line, picture
  FROM (SELECT *, row_number() OVER (PARTITION BY document_id ORDER BY line, target, anchor) AS rank FROM found) f
 WHERE rank <= $5 ORDER BY document_id, line, target, anchor
"""
BROKEN = f"""
WITH {SOURCES}, {TARGETS}, found AS (SELECT s.* FROM sources s JOIN missing USING (target_key))
{FIRST}
"""  # noqa: S608 - of constants
BROKEN_ANCHORS = f"""
WITH {SOURCES}, {TARGETS}, led AS MATERIALIZED (
    SELECT s.*, t.document_id AS target_document
      FROM sources s JOIN target t USING (target_key)
     WHERE lower(s.anchor) NOT IN ('', 'top') AND NOT starts_with(s.anchor, ':~:')
), known AS MATERIALIZED (
    SELECT a.document_id AS target_document, x.anchor
      FROM anchor a, unnest(a.anchors) AS x (anchor)
     WHERE a.branch = $3 AND a.document_id IN (SELECT target_document FROM led)
), found AS (
    SELECT led.* FROM led WHERE NOT EXISTS (
        SELECT FROM known k WHERE k.target_document = led.target_document AND k.anchor = led.anchor)
)
{FIRST}
"""  # noqa: S608 - of constants
ORPHANS = """
WITH page AS MATERIALIZED (
    SELECT document_id, path_key FROM head
     WHERE tenant_id = $1 AND space = $2 AND branch = $3 AND document_id = ANY($4) AND deleted_at IS NULL
       AND path_key NOT IN ('index.md', 'readme.md')
), name AS MATERIALIZED (
    SELECT document_id, path_key AS target_key FROM page
    UNION ALL
    SELECT document_id, regexp_replace(path_key, '/(index|readme)[.]md$', '') FROM page
     WHERE path_key ~ '/(index|readme)[.]md$'
    UNION ALL
    SELECT r.document_id, r.path_key FROM redirect r JOIN page p USING (document_id)
     WHERE r.tenant_id = $1 AND r.space = $2 AND r.branch = $3
), reached AS (
    SELECT DISTINCT n.document_id FROM name n
      JOIN link l ON l.target_key = n.target_key AND l.document_id <> n.document_id
     WHERE l.tenant_id = $1 AND l.space = $2 AND l.branch = $3
)
SELECT document_id FROM page WHERE document_id NOT IN (SELECT document_id FROM reached)
"""


HASHED = "SET LOCAL enable_nestloop = off"
"""The planner cannot know how many links a page has; loops within loops over 100,000 of them would take hours."""


class SqlLinkTargets:
    """A services.doc.domain.validation.targets.LinkTargets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look_up(
        self, tenant_id: str, space: str, branch: str, keys: Collection[str], anchored: Collection[str]
    ) -> Found:
        """One query."""
        rows = await self._database.fetch(
            LOOK_UP, tenant_id, space, branch, list(keys), list(set(anchored)), tenant=tenant_id
        )
        return Found(
            missing=frozenset(row["target_key"] for row in rows if row["anchors"] is None),
            anchors={row["target_key"]: frozenset(row["anchors"]) for row in rows if row["anchors"] is not None},
        )

    async def named(self, tenant_id: str, space: str, branch: str, names: Collection[str]) -> Mapping[str, str]:
        """One query over the paths of the branch."""
        rows = await self._database.fetch(NAMED, tenant_id, space, branch, list(names), tenant=tenant_id)
        return {row["name"]: row["path"] for row in rows}


class SqlSpaceLinks:
    """A services.doc.domain.validation.report.SpaceLinks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def broken(
        self, tenant_id: str, space: str, branch: str, document_ids: Sequence[str], most: int
    ) -> Sequence[BrokenLink]:
        """One query."""
        return await self._links(BROKEN, (tenant_id, space, branch), document_ids, most)

    async def broken_anchors(
        self, tenant_id: str, space: str, branch: str, document_ids: Sequence[str], most: int
    ) -> Sequence[BrokenLink]:
        """One query."""
        return await self._links(BROKEN_ANCHORS, (tenant_id, space, branch), document_ids, most)

    async def orphans(self, tenant_id: str, space: str, branch: str, document_ids: Sequence[str]) -> Collection[str]:
        """One query."""
        rows = await self._database.fetch(ORPHANS, tenant_id, space, branch, list(document_ids), tenant=tenant_id)
        return [row["document_id"] for row in rows]

    async def _links(
        self, query: str, where: tuple[str, str, str], document_ids: Sequence[str], most: int
    ) -> Sequence[BrokenLink]:
        async with self._database.transaction(where[0]) as tx:
            await tx.execute(HASHED)
            rows = await tx.fetch(query, *where, list(document_ids), most)
        return [BrokenLink(**dict(row)) for row in rows]
