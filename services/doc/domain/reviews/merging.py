"""Bringing a branch into another: all documents that it changed, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from automesh.core.errors import ValidationError
from services.doc.domain.branches.branch import Difference
from services.doc.domain.branches.branches import Branches
from services.doc.domain.documents import diff
from services.doc.domain.documents.document import Change, DocumentQuery, Revision, Write
from services.doc.domain.documents.path import key
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.documents.text import Text, read
from services.doc.domain.errors import Stale
from services.doc.domain.reviews.combining import Clash, Side, combine
from services.doc.domain.reviews.errors import MergeConflicts, ReviewChanged, ReviewTooLarge
from services.doc.domain.reviews.review import Review

MIB = 1024 * 1024
MAX_DOCUMENTS, MAX_BYTES = 1000, 64 * MIB
MAX_AUTHORS = 50
NAMED = 10
"""Documents that an error names in words."""
_AT_ONCE = 50
_PAGE = 1000

Path = tuple[str, str]
"""Of a document: its id, and where it is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a merge writes, or why people have to decide: path and reason of each such document, by its id."""

    writes: Sequence[tuple[Write, Text]]
    clashes: Mapping[str, tuple[str, Clash]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeOrder:
    """Who merges what."""

    review: Review
    user: str
    message: str


class BranchMerger:
    """Plans merges; whoever carries a plan out learns when a head has moved meanwhile."""

    def __init__(
        self, documents: DocumentStore, branches: Branches, *, make_id: Callable[[str], str], max_bytes: int
    ) -> None:
        self._documents, self._branches = documents, branches
        self._make_id, self._max_bytes = make_id, max_bytes

    async def plan(self, order: MergeOrder) -> Plan:
        """Raises ReviewTooLarge."""
        review = order.review
        found = await self._branches.differences(
            review.tenant_id, review.space, review.branch, review.target, limit=MAX_DOCUMENTS + 1, after=""
        )
        if len(found) > MAX_DOCUMENTS:
            raise _too_large(f"{MAX_DOCUMENTS} documents")
        writes: list[tuple[Write, Text]] = []
        clashes: dict[str, tuple[str, Clash]] = {}
        for start in range(0, len(found), _AT_ONCE):
            part = await self._part(order, found[start : start + _AT_ONCE])
            writes += part.writes
            clashes |= part.clashes
            if sum(len(write.content) for write, _ in writes) > MAX_BYTES:
                raise _too_large(f"{MAX_BYTES // MIB} MiB")
        return Plan(writes, clashes)

    async def taken(self, order: MergeOrder, plan: Plan) -> Stale:
        """Names the documents whose paths others have on the target; nothing is there any more: ReviewChanged."""
        review = order.review
        wanted = {key(write.path): write for write, _ in plan.writes if not write.deleted}
        own = {write.document_id for write, _ in plan.writes}
        clashes: dict[str, tuple[str, Clash]] = {}
        after: tuple[str, str] | None = None
        while True:
            page = await self._documents.list(
                review.tenant_id,
                DocumentQuery(spaces=[review.space], branch=review.target, limit=_PAGE, after=after),
            )
            for head in page:
                write = wanted.get(key(head.path))
                if write is not None and head.document_id not in own:
                    clashes[write.document_id] = (write.path, _occupied(review, head.path, head.document_id))
            if len(page) < _PAGE:
                gone = ReviewChanged(f"paths on {review.target!r} have changed meanwhile", reviewId=review.review_id)
                return conflicts(review, clashes) if clashes else gone
            after = (page[-1].space, page[-1].path)

    async def _part(self, order: MergeOrder, differences: Sequence[Difference]) -> Plan:
        tenant_id = order.review.tenant_id
        ids = {
            each for found in differences for each in (found.ancestor, found.sides.head, found.sides.base_head) if each
        }
        revisions = {each.revision_id: each for each in await self._documents.revisions(tenant_id, sorted(ids))}
        bodies = await self._documents.contents(tenant_id, sorted({each.sha256 for each in revisions.values()}))
        authors = await self._authors(tenant_id, differences, order.user)
        return await asyncio.to_thread(self._combined, order, differences, revisions, bodies, authors)

    def _combined(
        self,
        order: MergeOrder,
        differences: Sequence[Difference],
        revisions: Mapping[str, Revision],
        bodies: Mapping[str, str],
        authors: Mapping[str, Sequence[str]],
    ) -> Plan:
        writes: list[tuple[Write, Text]] = []
        clashes: dict[str, tuple[str, Clash]] = {}
        for found in differences:
            sides = found.sides
            base, branch, target = (
                _side(revisions.get(each), bodies) for each in (found.ancestor, sides.head, sides.base_head)
            )
            assert branch is not None  # noqa: S101 - a difference is one of the branch
            outcome = self._outcome(order.review, base, branch, target)
            if isinstance(outcome, Clash):
                clashes[sides.document_id] = (branch.path, outcome)
            elif not (outcome.deleted and (target is None or target.deleted)):
                try:
                    writes.append(self._write(order, found, outcome, target, authors[sides.document_id]))
                except ValidationError as error:
                    clashes[sides.document_id] = (outcome.path, _unreadable(error))
        return Plan(writes, clashes)

    def _outcome(self, review: Review, base: Side | None, branch: Side, target: Side | None) -> Side | Clash:
        names = (review.branch, review.target)
        if target is None:  # it is new there, or it was there once and is gone for good
            if base is None or branch.deleted:
                return branch
            return combine(base, branch, Side(base.path, base.content, deleted=True), names)
        return combine(base or Side("", ""), branch, target, names)

    def _write(
        self, order: MergeOrder, found: Difference, side: Side, target: Side | None, authors: Sequence[str]
    ) -> tuple[Write, Text]:
        review, sides = order.review, found.sides
        counts = diff.counts(target.content if target else "", side.content)
        write = Write(
            tenant_id=review.tenant_id,
            space=review.space,
            branch=review.target,
            document_id=sides.document_id,
            revision_id=self._make_id("rev"),
            expected=sides.base_head,
            merged=sides.head,
            change=Change.DELETE if side.deleted else Change.MERGE,
            path=side.path,
            content=side.content,
            author=order.user,
            co_authors=authors,
            message=order.message or review.title,
            lines_added=counts.added,
            lines_removed=counts.removed,
            deleted=side.deleted,
        )
        return write, read(side.content, side.path, max_bytes=self._max_bytes)

    async def _authors(
        self, tenant_id: str, differences: Sequence[Difference], user: str
    ) -> Mapping[str, Sequence[str]]:
        """Whose work comes with each document, besides who merges."""
        graphs = await self._documents.graphs(tenant_id, [found.sides.document_id for found in differences])
        came = {
            sides.document_id: graphs[sides.document_id].only(sides.head, sides.base_head)[:_PAGE]
            for sides in (found.sides for found in differences)
        }
        ids = [node.revision_id for nodes in came.values() for node in nodes]
        revisions = {each.revision_id: each for each in await self._documents.revisions(tenant_id, ids)}
        return {
            document_id: _names(
                [revisions[each.revision_id] for each in reversed(nodes) if each.revision_id in revisions], user
            )
            for document_id, nodes in came.items()
        }


def _names(revisions: Sequence[Revision], user: str) -> Sequence[str]:
    names = dict.fromkeys(name for each in revisions for name in (each.author, *each.co_authors))
    return [name for name in names if name != user][:MAX_AUTHORS]


def conflicts(review: Review, clashes: Mapping[str, tuple[str, Clash]]) -> MergeConflicts:
    """With what to do about each document."""
    told = [f"{path!r} {clash.why}: {clash.mend}" for path, clash in list(clashes.values())[:NAMED]]
    more = f"; and {len(clashes) - NAMED} more" if len(clashes) > NAMED else ""
    many = f"{len(clashes)} documents need" if len(clashes) > 1 else "one document needs"
    return MergeConflicts(
        f"nothing was merged: {many} a decision. {'; '.join(told)}{more}",
        documents=",".join(list(clashes)[:_PAGE]),
        reviewId=review.review_id,
    )


def _side(revision: Revision | None, bodies: Mapping[str, str]) -> Side | None:
    if revision is None:
        return None
    return Side(revision.path, bodies[revision.sha256], deleted=revision.change is Change.DELETE)


def _occupied(review: Review, path: str, document_id: str) -> Clash:
    return Clash(
        f"is the path of another document on {review.target!r} ({document_id}, {path!r})",
        f"rename one of them: here on {review.branch!r}, or the other on {review.target!r}",
    )


def _unreadable(error: ValidationError) -> Clash:
    return Clash(f"is no document any more once both are brought together ({error.message})", "mend it on the branch")


def _too_large(limit: str) -> ReviewTooLarge:
    return ReviewTooLarge(
        f"one merge takes {limit} at most: propose the branch in parts (a branch for each folder, for example)"
    )
