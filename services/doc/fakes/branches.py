"""A BranchStore in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from services.doc.domain.branches.branch import Branch, Sides, Work
from services.doc.domain.documents.document import Head
from services.doc.domain.errors import BranchInUse, BranchTaken
from services.doc.domain.reviews.review import ReviewState
from services.doc.fakes.library import FakeLibrary


class FakeBranchStore:
    """A services.doc.domain.branches.ports.BranchStore."""

    def __init__(self, library: FakeLibrary) -> None:
        self._library = library

    async def add(self, tenant_id: str, space: str, branch: str, base: str, created_by: str) -> Branch:
        """See the port."""
        self._library.branch(tenant_id, space, base)
        rows, now = self._library.rows, self._library.clock()
        if (tenant_id, space, branch) in rows.branches:
            raise BranchTaken(f"the space {space} has a branch {branch!r} already", space=space, branch=branch)
        rows.branches[(tenant_id, space, branch)] = Branch(
            space=space, branch=branch, base=base, created_by=created_by, created_at=now, updated_at=now
        )
        for head in list(self._library.on(tenant_id, space, base)):
            rows.heads[(head.document_id, branch)] = replace(head, branch=branch)
            rows.began[(head.document_id, branch)] = head.revision_id
        for (where, path), document_id in list(rows.redirects.items()):
            if where == (tenant_id, space, base):
                rows.redirects[((tenant_id, space, branch), path)] = document_id
        return self._library.branch(tenant_id, space, branch)

    async def get(self, tenant_id: str, space: str, branch: str) -> Branch:
        """See the port."""
        return self._library.branch(tenant_id, space, branch)

    async def list(
        self, tenant_id: str, space: str, *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Branch]:
        """See the port."""
        names = [name for tenant, of, name in self._library.rows.branches if (tenant, of) == (tenant_id, space)]
        found = [self._library.branch(tenant_id, space, name) for name in names]
        found.sort(key=lambda each: (each.updated_at, each.branch), reverse=True)
        return [each for each in found if before is None or (each.updated_at, each.branch) < before][:limit]

    async def differing(
        self, tenant_id: str, space: str, branch: str, base: str, *, limit: int, after: str
    ) -> Sequence[Sides]:
        """See the port."""
        ours, theirs = (
            {head.document_id: head for head in self._library.on(tenant_id, space, name)} for name in (branch, base)
        )
        ids = sorted(each for each in {*ours, *theirs} if each > after)
        found = (self._sides(each, branch, ours.get(each), theirs.get(each)) for each in ids)
        return [each for each in found if each.head != each.base_head][:limit]

    async def work(self, tenant_id: str, branches: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Work]:
        """See the port."""
        known = [each for each in branches if (tenant_id, *each) in self._library.rows.branches]
        return {each: self._work(tenant_id, *each) for each in known}

    async def delete(self, tenant_id: str, space: str, branch: str) -> None:
        """See the port."""
        self.delete_in(tenant_id, space, branch)

    def delete_in(self, tenant_id: str, space: str, branch: str) -> None:
        """The same within a transaction of somebody else."""
        for review in self._library.rows.reviews.values():
            here = (review.tenant_id, review.space) == (tenant_id, space) and branch in (review.branch, review.target)
            if here and review.state is ReviewState.OPEN:
                raise BranchInUse(f"a review is open for the branch {branch!r}", space=space, branch=branch)
        self._library.forget_branch((tenant_id, space, branch))

    def _sides(self, document_id: str, branch: str, ours: Head | None, theirs: Head | None) -> Sides:
        path = ours or theirs
        base_path = theirs or ours
        assert path is not None  # noqa: S101 - one of both has it
        assert base_path is not None  # noqa: S101 - one of both has it
        return Sides(
            document_id=document_id,
            path=path.path,
            base_path=base_path.path,
            head=ours.revision_id if ours else "",
            base_head=theirs.revision_id if theirs else "",
            branch_deleted=ours is not None and ours.deleted_at is not None,
            base_deleted=theirs is not None and theirs.deleted_at is not None,
            began=self._library.rows.began.get((document_id, branch), "") if ours else "",
        )

    def _work(self, tenant_id: str, space: str, branch: str) -> Work:
        rows = self._library.rows
        moved = sorted(
            (head.document_id, head.revision_id)
            for head in self._library.on(tenant_id, space, branch)
            if head.revision_id != rows.began.get((head.document_id, branch), "")
        )
        began = rows.branches[(tenant_id, space, branch)].created_at
        ids = {document_id for document_id, _ in moved}
        authors = {
            name
            for each in rows.revisions.values()
            if each.document_id in ids and each.branch == branch and each.created_at >= began
            for name in (each.author, *each.co_authors)
        }
        return Work(hashlib.sha256(repr(moved).encode()).hexdigest(), tuple(sorted(authors)))
