"""Reviews in SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from automesh.storage.postgres import Connection, Database, Record
from automesh.storage.sealing import Sealer, place
from services.doc.domain.branches.branch import Work
from services.doc.domain.documents.document import Revision
from services.doc.domain.errors import BranchInUse, branch_not_found
from services.doc.domain.notifications import occasions
from services.doc.domain.reviews.errors import ReviewChanged, files_differ, review_ended, review_not_found, review_open
from services.doc.domain.reviews.ports import Merging
from services.doc.domain.reviews.review import (
    Judgement,
    NewReview,
    Review,
    ReviewQuery,
    ReviewState,
    Verdict,
)
from services.doc.store import attachments, notices, rows
from services.doc.store.branches import DELETE as DELETE_BRANCH
from services.doc.store.documents import REVISIONS
from services.doc.store.writes import SqlWrites

ADD = """
INSERT INTO review (tenant_id, review_id, space, branch, target, title, description, author, reviewers)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *
"""
GET = "SELECT * FROM review WHERE tenant_id = $1 AND review_id = $2"
LIST = """
SELECT * FROM review
 WHERE tenant_id = $1 AND space = ANY($2) AND ($3 = '' OR state = $3) AND ($4 = '' OR $4 = ANY(reviewers))
   AND ($5::timestamptz IS NULL OR (updated_at, review_id) < ($5, $6))
 ORDER BY updated_at DESC, review_id DESC LIMIT $7
"""
JUDGEMENTS = "SELECT * FROM judgement WHERE tenant_id = $1 AND review_id = ANY($2) ORDER BY judged_at, reviewer"
TOUCH = """
UPDATE review SET edition = edition + 1, updated_at = now()
 WHERE tenant_id = $1 AND review_id = $2 AND state = 'OPEN' RETURNING *
"""
JUDGE = """
INSERT INTO judgement (tenant_id, review_id, reviewer, verdict, message, digest) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (review_id, reviewer) DO UPDATE
   SET verdict = excluded.verdict, message = excluded.message, digest = excluded.digest, judged_at = now()
"""
END = """
UPDATE review SET state = $3, work_digest = $4, work_authors = $5, closing = $6, edition = edition + 1,
                  updated_at = now()
 WHERE tenant_id = $1 AND review_id = $2 AND state = 'OPEN' AND ($7::bigint IS NULL OR edition = $7) RETURNING *
"""


class SqlReviewStore:
    """A services.doc.domain.reviews.ports.ReviewStore."""

    def __init__(self, database: Database, sealer: Sealer, writes: SqlWrites) -> None:
        self._database, self._sealer, self._writes = database, sealer, writes

    async def add(self, tenant_id: str, review_id: str, review: NewReview, author: str) -> Review:
        """One row. That the branches are there is seen when it is committed."""
        description = self._sealer.seal(review.description.encode(), place("doc", tenant_id, "review", review_id))
        try:
            async with self._database.transaction(tenant_id) as tx:
                row = await tx.fetchrow(
                    ADD, tenant_id, review_id, review.space, review.branch, review.target, review.title, description,
                    author, list(review.reviewers),
                )  # fmt: skip
                assert row is not None  # noqa: S101 - INSERT ... RETURNING
                made = self._review(row, ())
                await notices.tell(tx, occasions.review_requested(made))
        except asyncpg.UniqueViolationError as error:
            raise review_open(review.branch) from error
        except asyncpg.ForeignKeyViolationError as error:
            missing = review.target if error.constraint_name == "review_open_target" else review.branch
            raise branch_not_found(review.space, missing) from error
        return made

    async def get(self, tenant_id: str, review_id: str) -> Review:
        """The row, and its judgements."""
        row = await self._database.fetchrow(GET, tenant_id, review_id, tenant=tenant_id)
        if row is None:
            raise review_not_found(review_id)
        return (await self._judged(tenant_id, [row]))[0]

    async def list(self, tenant_id: str, query: ReviewQuery) -> Sequence[Review]:
        """Keyset by the time of the last change."""
        moment, review_id = query.before or (None, "")
        found = await self._database.fetch(
            LIST, tenant_id, list(query.spaces), query.state or "", query.reviewer, moment, review_id, query.limit,
            tenant=tenant_id,
        )  # fmt: skip
        return await self._judged(tenant_id, found)

    async def judge(self, tenant_id: str, review_id: str, judgement: Judgement) -> Review:
        """The review's row is locked, so that a merge sees it before or after, never in between."""
        sealed = self._sealer.seal(
            judgement.message.encode(), _judgement_place(tenant_id, review_id, judgement.reviewer)
        )
        async with self._database.transaction(tenant_id) as tx:
            row = await tx.fetchrow(TOUCH, tenant_id, review_id)
            if row is None:
                raise await self._not_open(tx, tenant_id, review_id)
            await tx.execute(
                JUDGE, tenant_id, review_id, judgement.reviewer, judgement.verdict, sealed, judgement.digest
            )
            await notices.tell(tx, occasions.review_judged(self._review(row, ()), judgement))
        return await self.get(tenant_id, review_id)

    async def close(self, tenant_id: str, review_id: str, work: Work, message: str) -> Review:
        """One row."""
        sealed = self._sealer.seal(message.encode(), place("doc", tenant_id, "review-closing", review_id))
        state = ReviewState.CLOSED
        await self._database.fetchrow(
            END, tenant_id, review_id, state, work.digest, list(work.authors), sealed, None, tenant=tenant_id
        )
        review = await self.get(tenant_id, review_id)
        if review.state is not state:
            raise review_ended(review_id, review.state)
        return review

    async def merge(self, merging: Merging) -> tuple[Review, Sequence[Revision]]:
        """One transaction: the end of the review first, which keeps a judgement that comes now waiting."""
        review, work = merging.review, merging.work
        prepared = await self._writes.prepare(merging.writes)
        async with (
            _keeping_branch(review),
            self._writes.explaining(),
            self._database.transaction(review.tenant_id) as tx,
        ):
            ended = await tx.fetchrow(
                END, review.tenant_id, review.review_id, ReviewState.MERGED, work.digest, list(work.authors), None,
                review.edition,
            )  # fmt: skip
            if ended is None:
                raise ReviewChanged(f"the review {review.review_id} has changed meanwhile", reviewId=review.review_id)
            await self._writes.write_in(tx, prepared)
            source = (review.tenant_id, review.space, review.branch)
            brought = await attachments.merge_in(tx, source, review.target, merging.user)
            if brought.conflicts:
                raise files_differ(review.review_id, brought.conflicts)
            found = await tx.fetch(REVISIONS, review.tenant_id, [write.revision_id for write, _ in merging.writes])
            if merging.delete_branch:
                await tx.execute(DELETE_BRANCH, review.tenant_id, review.space, review.branch)
            await notices.tell(tx, occasions.review_merged(review, merging.user))
        self._writes.remember(prepared)
        made = sorted(map(rows.revision, found), key=lambda each: each.path)
        return await self.get(review.tenant_id, review.review_id), made

    async def _not_open(self, tx: Connection, tenant_id: str, review_id: str) -> Exception:
        row = await tx.fetchrow(GET, tenant_id, review_id)
        return review_not_found(review_id) if row is None else review_ended(review_id, row["state"])

    async def _judged(self, tenant_id: str, found: Sequence[Record]) -> Sequence[Review]:
        ids = [row["review_id"] for row in found]
        judgements = await self._database.fetch(JUDGEMENTS, tenant_id, ids, tenant=tenant_id) if ids else []
        of: dict[str, list[Judgement]] = {each: [] for each in ids}
        for row in judgements:
            of[row["review_id"]].append(self._judgement(row))
        return [self._review(row, of[row["review_id"]]) for row in found]

    def _judgement(self, row: Record) -> Judgement:
        where = _judgement_place(row["tenant_id"], row["review_id"], row["reviewer"])
        return Judgement(
            reviewer=row["reviewer"],
            verdict=Verdict(row["verdict"]),
            message=self._sealer.unseal(row["message"], where).decode(),
            digest=row["digest"],
            judged_at=row["judged_at"],
        )

    def _review(self, row: Record, judgements: Sequence[Judgement]) -> Review:
        digest = row["work_digest"]
        sealed_at = place("doc", row["tenant_id"], "review", row["review_id"])
        return Review(
            tenant_id=row["tenant_id"],
            review_id=row["review_id"],
            space=row["space"],
            branch=row["branch"],
            target=row["target"],
            title=row["title"],
            description=self._sealer.unseal(row["description"], sealed_at).decode(),
            state=ReviewState(row["state"]),
            author=row["author"],
            reviewers=tuple(row["reviewers"]),
            judgements=judgements,
            edition=row["edition"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            work=None if digest is None else Work(digest, tuple(row["work_authors"])),
        )


@asynccontextmanager
async def _keeping_branch(review: Review) -> AsyncIterator[None]:
    """Another open review still needs the branch that was to be deleted."""
    try:
        yield
    except asyncpg.ForeignKeyViolationError as error:
        raise BranchInUse(
            f"the branch {review.branch!r} is the target of another open review: merge without deleting it",
            space=review.space,
            branch=review.branch,
        ) from error


def _judgement_place(tenant_id: str, review_id: str, reviewer: str) -> bytes:
    return place("doc", tenant_id, "judgement", review_id, reviewer)
