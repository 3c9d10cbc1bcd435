"""A write as one statement: it is one transaction and one round trip.

All its parts hang on `moved`, the head that was made or moved: where that is empty, nothing is written at all.
"""

from __future__ import annotations

_PARTS = """
stored AS (
    INSERT INTO content (tenant_id, sha256, base, depth, size, bytes)
    SELECT $1::text, $15::text, $16::text, $17::smallint, $18::bigint, $19::bytea FROM moved
    ON CONFLICT (tenant_id, sha256) DO NOTHING
), made AS (
    INSERT INTO revision (revision_id, tenant_id, document_id, parents, branch, change, path, title, sha256, size,
                          author, co_authors, message, lines_added, lines_removed)
    SELECT $5::text, $1::text, $3::text, $20::text[], $2::text, $21::text, $6::text, $8::text, $15::text, $18::bigint,
           $12::text, $22::text[], $23::text, $24::integer, $25::integer FROM moved
), unlinked AS (
    DELETE FROM link l USING moved m WHERE l.document_id = m.document_id AND l.branch = m.branch
), linked AS (
    INSERT INTO link (tenant_id, space, branch, document_id, target_key, target, anchor, line, picture)
    SELECT m.tenant_id, m.space, m.branch, m.document_id, n.target_key, n.target, n.anchor, n.line, n.picture
      FROM moved m, unnest($26::text[], $27::text[], $28::text[], $29::integer[], $30::boolean[])
                    AS n (target_key, target, anchor, line, picture)
), anchored AS (
    INSERT INTO anchor (tenant_id, document_id, branch, anchors)
    SELECT $1::text, $3::text, $2::text, $31::text[] FROM moved WHERE NOT $13::boolean
    ON CONFLICT (document_id, branch) DO UPDATE SET anchors = excluded.anchors
), taken AS (
    DELETE FROM redirect r USING moved m
     WHERE r.tenant_id = m.tenant_id AND r.space = m.space AND r.branch = m.branch AND r.path_key = m.path_key
), deserted AS (
    INSERT INTO redirect (tenant_id, space, branch, path_key, path, document_id)
    SELECT tenant_id, space, branch, $32::text, $33::text, document_id FROM moved WHERE $32::text NOT IN (path_key, '')
    ON CONFLICT (tenant_id, space, branch, path_key) DO UPDATE
       SET document_id = excluded.document_id, path = excluded.path, created_at = now()
), told AS (
    INSERT INTO change (tenant_id, space, document_id, revision_id)
    SELECT tenant_id, space, document_id, revision_id FROM moved WHERE branch = 'main'
), asked AS (
    INSERT INTO write_request (tenant_id, request_id, revision_id, fingerprint)
    SELECT $1::text, $34::text, $5::text, $35::bytea FROM moved WHERE $34::text <> ''
)
SELECT m.*, $18::bigint AS size, $15::text AS sha256, d.created_by, d.created_at FROM moved m, known d
"""
MOVE = """
WITH known AS (
    SELECT created_by, created_at FROM document
     WHERE tenant_id = $1::text AND document_id = $3::text AND space = $14::text
), moved AS (
    UPDATE head SET revision_id = $5::text, path = $6::text, path_key = $7::text, title = $8::text, tags = $9::text[],
                    owner = coalesce(nullif($10::text, ''), (SELECT created_by FROM known)),
                    review_at = $11::timestamptz, updated_by = $12::text, updated_at = now(),
                    deleted_at = CASE WHEN $13::boolean THEN now() END
     WHERE tenant_id = $1::text AND branch = $2::text AND document_id = $3::text AND revision_id = $4::text
       AND space = $14::text
    RETURNING *
), {parts}""".replace("{parts}", _PARTS)
BEGIN = """
WITH born AS (
    INSERT INTO document (document_id, tenant_id, space, created_by)
    SELECT $3::text, $1::text, $14::text, $12::text WHERE $4::text = ''
    RETURNING created_by, created_at
), known AS (
    SELECT created_by, created_at FROM born
    UNION ALL
    SELECT created_by, created_at FROM document
     WHERE tenant_id = $1::text AND document_id = $3::text AND space = $14::text AND $4::text <> ''
), moved AS (
    INSERT INTO head (tenant_id, space, branch, document_id, revision_id, path, path_key, title, tags, owner, review_at,
                      updated_by, deleted_at)
    SELECT $1::text, $14::text, $2::text, $3::text, $5::text, $6::text, $7::text, $8::text, $9::text[],
           coalesce(nullif($10::text, ''), created_by), $11::timestamptz, $12::text,
           CASE WHEN $13::boolean THEN now() END
      FROM known
    RETURNING *
), {parts}""".replace("{parts}", _PARTS)
# Paths that are given up by the same writes: whoever comes first may have one that another is still to leave.
VACATE = """
UPDATE head SET path_key = '/' || document_id
 WHERE tenant_id = $1
   AND (document_id, branch, revision_id) IN (SELECT * FROM unnest($2::text[], $3::text[], $4::text[]))
"""
