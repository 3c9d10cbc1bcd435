"""Comments in SQL; what people say, and what they quote, is sealed to its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from automesh.storage.postgres import Connection, Database, Record
from automesh.storage.sealing import Sealer, place
from services.doc.domain.comments.comment import Anchor, Comment, Span
from services.doc.domain.comments.errors import TooManyComments, comment_not_found
from services.doc.domain.comments.ports import Draft, Moved, ReviewPlace
from services.doc.domain.notifications.notice import Notice
from services.doc.domain.reviews.errors import review_not_found
from services.doc.store import notices

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('comment ' || $1, 0))"  # else two calls pass the limit together
COUNT = """
SELECT count(*) FROM comment
 WHERE tenant_id = $1 AND (document_id = $2 AND branch = $4 AND $2 <> '' OR review_id = $3 AND $3 <> '')
"""
ADD = """
INSERT INTO comment (comment_id, tenant_id, space, document_id, review_id, thread_id, branch, anchor_revision,
                     anchor_start, anchor_end, quote, at_revision, at_start, at_end, text, author, mentions)
VALUES ($1, $2, $3, nullif($4, ''), nullif($5, ''), nullif($6, ''), $7, $8, $9, $10, $11, $8, $9, $10, $12, $13, $14)
RETURNING *
"""
GET = "SELECT * FROM comment WHERE tenant_id = $1 AND comment_id = $2"
# A thread that is done with goes with its answers; removed ones stay while somebody has answered.
ALL = """
SELECT c.* FROM comment c LEFT JOIN comment t ON t.comment_id = c.thread_id
 WHERE c.tenant_id = $1 AND ($2 = '' OR c.document_id = $2 AND c.branch = $4) AND ($3 = '' OR c.review_id = $3)
   AND ($5 OR coalesce(t.resolved_by, c.resolved_by) = '')
   AND (c.text IS NOT NULL OR EXISTS (SELECT FROM comment a WHERE a.thread_id = c.comment_id AND a.text IS NOT NULL))
 ORDER BY c.created_at, c.comment_id
"""
CHANGE = """
UPDATE comment SET text = $3, mentions = $4, updated_at = now() WHERE tenant_id = $1 AND comment_id = $2 RETURNING *
"""
RESOLVE = """
UPDATE comment SET resolved_by = $3, updated_at = now()
 WHERE tenant_id = $1 AND comment_id = $2 AND thread_id IS NULL RETURNING *
"""
MOVE = """
UPDATE comment c SET at_revision = m.revision_id, at_start = m.start, at_end = m.end_, at_lost = m.lost
  FROM unnest($2::text[], $3::text[], $4::int[], $5::int[], $6::bool[])
       AS m (comment_id, revision_id, start, end_, lost)
 WHERE c.tenant_id = $1 AND c.comment_id = m.comment_id
"""
THREAD = "SELECT DISTINCT author FROM comment WHERE tenant_id = $1 AND (comment_id = $2 OR thread_id = $2)"
REVIEW = "SELECT space, author, title FROM review WHERE tenant_id = $1 AND review_id = $2"
OPEN = """
SELECT review_id, count(*) AS open FROM comment c
 WHERE tenant_id = $1 AND review_id = ANY ($2) AND thread_id IS NULL AND resolved_by = ''
   AND (text IS NOT NULL OR EXISTS (SELECT FROM comment a WHERE a.thread_id = c.comment_id AND a.text IS NOT NULL))
 GROUP BY review_id
"""


class SqlCommentStore:
    """A services.doc.domain.comments.ports.CommentStore, and what reviews ask of comments."""

    def __init__(self, database: Database, sealer: Sealer, *, make_id: Callable[[str], str]) -> None:
        self._database, self._sealer, self._make_id = database, sealer, make_id

    async def add(self, draft: Draft, told: Sequence[Notice], *, most: int) -> Comment:
        """One at a time for a document or review."""
        async with self._database.transaction(draft.tenant_id) as tx:
            await tx.execute(LOCK, draft.review_id or draft.document_id)
            if await tx.fetchval(COUNT, draft.tenant_id, draft.document_id, draft.review_id, draft.branch) >= most:
                raise TooManyComments(f"there are {most} comments here already: remove some first", limit=most)
            span = draft.span or Span("", 0, 1)
            start, end = (span.start, span.end) if draft.span else (0, 0)
            row = await tx.fetchrow(
                ADD, draft.comment_id, draft.tenant_id, draft.space, draft.document_id, draft.review_id,
                draft.thread_id, draft.branch, span.revision_id, start, end,
                self._sealed(draft, "quote", draft.quote) if draft.span else None,
                self._sealed(draft, "text", draft.text), draft.author, list(draft.mentions),
            )  # fmt: skip
            if draft.document_id:
                people = [draft.author, *draft.mentions]
                await notices.follow(tx, draft.tenant_id, draft.space, draft.document_id, people)
            await self._tell(tx, told)
        return self._existing(row, draft.comment_id)

    async def get(self, tenant_id: str, comment_id: str) -> Comment:
        """One row."""
        return self._existing(await self._database.fetchrow(GET, tenant_id, comment_id, tenant=tenant_id), comment_id)

    async def all(
        self, tenant_id: str, *, document_id: str, review_id: str, branch: str, resolved: bool
    ) -> Sequence[Comment]:
        """As many as there may be."""
        rows = await self._database.fetch(ALL, tenant_id, document_id, review_id, branch, resolved, tenant=tenant_id)
        return [self._comment(row) for row in rows]

    async def change(self, comment: Comment, text: str, mentions: Sequence[str], told: Sequence[Notice]) -> Comment:
        """With what it tells."""
        async with self._database.transaction(comment.tenant_id) as tx:
            sealed = self._sealed(comment, "text", text) if text else None
            row = await tx.fetchrow(CHANGE, comment.tenant_id, comment.comment_id, sealed, list(mentions))
            await self._tell(tx, told)
        return self._existing(row, comment.comment_id)

    async def resolve(self, tenant_id: str, comment_id: str, user: str) -> Comment:
        """One row."""
        row = await self._database.fetchrow(RESOLVE, tenant_id, comment_id, user, tenant=tenant_id)
        return self._existing(row, comment_id)

    async def move(self, tenant_id: str, moved: Sequence[Moved]) -> None:
        """One statement."""
        await self._database.execute(
            MOVE, tenant_id,
            [each.comment_id for each in moved], [each.revision_id for each in moved], [each.start for each in moved],
            [each.end for each in moved], [each.lost for each in moved], tenant=tenant_id,
        )  # fmt: skip

    async def thread(self, tenant_id: str, thread_id: str) -> Sequence[str]:
        """Names."""
        rows = await self._database.fetch(THREAD, tenant_id, thread_id, tenant=tenant_id)
        return [row["author"] for row in rows]

    async def review(self, tenant_id: str, review_id: str) -> ReviewPlace:
        """One row."""
        row = await self._database.fetchrow(REVIEW, tenant_id, review_id, tenant=tenant_id)
        if row is None:
            raise review_not_found(review_id)
        return ReviewPlace(row["space"], row["author"], row["title"])

    async def open(self, tenant_id: str, review_ids: Sequence[str]) -> Mapping[str, int]:
        """See services.doc.domain.reviews.ports.OpenComments."""
        rows = await self._database.fetch(OPEN, tenant_id, list(review_ids), tenant=tenant_id)
        return {row["review_id"]: row["open"] for row in rows}

    async def _tell(self, tx: Connection, told: Sequence[Notice]) -> None:
        for notice in told:
            await notices.tell(tx, notice, make_id=self._make_id)

    def _sealed(self, of: Draft | Comment, what: str, text: str) -> bytes:
        return self._sealer.seal(text.encode(), _place(of.tenant_id, of.comment_id, what))

    def _unsealed(self, row: Record, what: str) -> str:
        if row[what] is None:
            return ""
        return self._sealer.unseal(row[what], _place(row["tenant_id"], row["comment_id"], what)).decode()

    def _existing(self, row: Record | None, comment_id: str) -> Comment:
        if row is None:
            raise comment_not_found(comment_id)
        return self._comment(row)

    def _comment(self, row: Record) -> Comment:
        span = anchor = None
        if row["anchor_revision"]:
            span = Span(row["anchor_revision"], row["anchor_start"], row["anchor_end"])
            anchor = Anchor(
                revision_id=row["at_revision"],
                start=row["at_start"],
                end=row["at_end"],
                quote=self._unsealed(row, "quote"),
                lost=row["at_lost"],
            )
        return Comment(
            comment_id=row["comment_id"],
            tenant_id=row["tenant_id"],
            space=row["space"],
            document_id=row["document_id"] or "",
            review_id=row["review_id"] or "",
            thread_id=row["thread_id"] or "",
            branch=row["branch"],
            span=span,
            anchor=anchor,
            text=self._unsealed(row, "text"),
            author=row["author"],
            mentions=tuple(row["mentions"]),
            resolved_by=row["resolved_by"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )


def _place(tenant_id: str, comment_id: str, what: str) -> bytes:
    return place("doc", tenant_id, "comment", comment_id, what)
