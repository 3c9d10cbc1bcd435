"""What all fake stores share: everything in memory. `clock` may be moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime

from automesh.core.clock import utc_now
from services.doc.domain.branches.branch import Branch
from services.doc.domain.changes.change import ChangeNote
from services.doc.domain.documents.document import Head, Revision
from services.doc.domain.errors import branch_not_found, document_not_found, space_not_found
from services.doc.domain.reviews.review import Review
from services.doc.domain.spaces.space import Space

Key = tuple[str, str, str]
"""Tenant, space and branch."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A document whatever the branch."""

    tenant_id: str
    space: str
    created_by: str
    created_at: datetime


@dataclass(slots=True)
class Rows:
    """Like the tables of the database."""

    spaces: dict[tuple[str, str], Space] = field(default_factory=dict)
    branches: dict[Key, Branch] = field(default_factory=dict)
    documents: dict[str, Begun] = field(default_factory=dict)
    revisions: dict[str, Revision] = field(default_factory=dict)
    heads: dict[tuple[str, str], Head] = field(default_factory=dict)
    began: dict[tuple[str, str], str] = field(default_factory=dict)
    bodies: dict[tuple[str, str], str] = field(default_factory=dict)
    redirects: dict[tuple[Key, str], str] = field(default_factory=dict)
    requests: dict[tuple[str, str], tuple[str, bytes, datetime]] = field(default_factory=dict)
    changes: list[ChangeNote] = field(default_factory=list)
    reviews: dict[str, Review] = field(default_factory=dict)


class FakeLibrary:
    """The rows; the fakes of the ports work on it."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self.clock = clock
        self.rows = Rows()
        self._numbers = 0

    def number(self) -> int:
        """The next of all, never twice."""
        self._numbers += 1
        return self._numbers

    @contextmanager
    def transaction(self) -> Iterator[Rows]:
        """Everything or nothing."""
        before = {each.name: getattr(self.rows, each.name).copy() for each in fields(Rows)}
        try:
            yield self.rows
        except BaseException:
            self.rows = Rows(**before)
            raise

    def space(self, tenant_id: str, space: str) -> Space:
        """Raises SpaceNotFound."""
        found = self.rows.spaces.get((tenant_id, space))
        if found is None:
            raise space_not_found(space)
        return found

    def branch(self, tenant_id: str, space: str, branch: str) -> Branch:
        """As it is now. Raises BranchNotFound."""
        made = self.rows.branches.get((tenant_id, space, branch))
        if made is None:
            raise branch_not_found(space, branch)
        heads = list(self.on(tenant_id, space, branch))
        return replace(
            made,
            updated_at=max([made.updated_at, *(each.updated_at for each in heads)]),
            document_count=sum(each.deleted_at is None for each in heads),
        )

    def on(self, tenant_id: str, space: str, branch: str) -> Iterator[Head]:
        """The heads of a branch, its trash too."""
        where = (tenant_id, space, branch)
        return (each for each in self.rows.heads.values() if (each.tenant_id, each.space, each.branch) == where)

    def head(self, tenant_id: str, document_id: str, branch: str) -> Head:
        """Raises DocumentNotFound."""
        found = self.rows.heads.get((document_id, branch))
        if found is None or found.tenant_id != tenant_id:
            raise document_not_found(document_id, branch)
        return found

    def tell(self, tenant_id: str, space: str, document_id: str = "", revision_id: str = "") -> None:
        """A line of the outbox."""
        self.rows.changes.append(
            ChangeNote(
                sequence=self.number(),
                tenant_id=tenant_id,
                space=space,
                document_id=document_id,
                revision_id=revision_id,
                time=self.clock(),
            )
        )

    def forget_document(self, document_id: str) -> None:
        """With its revisions and all that hangs on them."""
        rows = self.rows
        del rows.documents[document_id]
        gone = {key for key, each in rows.revisions.items() if each.document_id == document_id}
        for key in gone:
            del rows.revisions[key]
        rows.heads = {key: each for key, each in rows.heads.items() if key[0] != document_id}
        rows.requests = {key: each for key, each in rows.requests.items() if each[0] not in gone}
        rows.redirects = {key: each for key, each in rows.redirects.items() if each != document_id}

    def forget_branch(self, where: Key) -> None:
        """With its heads."""
        rows = self.rows
        for head in list(self.on(*where)):
            del rows.heads[(head.document_id, head.branch)]
        rows.redirects = {key: each for key, each in rows.redirects.items() if key[0] != where}
        rows.branches.pop(where, None)
