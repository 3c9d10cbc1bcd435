"""The use cases around branches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.doc.domain.branches.branch import Branch, Difference, Sides, check_name
from services.doc.domain.branches.ports import BranchStore
from services.doc.domain.documents.document import Change
from services.doc.domain.documents.ports import DocumentStore
from services.doc.domain.errors import BranchInUse
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MAIN, MemberRole


class Branches:
    """Made, compared, removed."""

    def __init__(self, branches: BranchStore, documents: DocumentStore, directory: SpaceDirectory) -> None:
        self._branches, self._documents, self._directory = branches, documents, directory

    async def create(self, person: Person, space: str, branch: str, base: str) -> Branch:
        """Where `base` stands now."""
        await self._directory.find(person, space, MemberRole.WRITER)
        return await self._branches.add(person.tenant_id, space, check_name(branch), base, person.user)

    async def list(
        self, person: Person, space: str, *, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[Branch]:
        """A page, the latest change first."""
        await self._directory.find(person, space)
        return await self._branches.list(person.tenant_id, space, limit=limit, before=before)

    async def delete(self, person: Person, space: str, branch: str) -> None:
        """Revisions stay."""
        await self._directory.find(person, space, MemberRole.WRITER)
        if branch == MAIN:
            raise BranchInUse(f"the branch {MAIN!r} cannot be removed", space=space, branch=branch)
        await self._branches.delete(person.tenant_id, space, branch)

    async def compare(
        self, person: Person, space: str, branch: str, base: str, *, limit: int, after: str
    ) -> Sequence[Difference]:
        """A page of what differs, by document id."""
        await self._directory.find(person, space)
        return await self.differences(person.tenant_id, space, branch, base, limit=limit, after=after)

    async def differences(
        self, tenant_id: str, space: str, branch: str, base: str, *, limit: int, after: str
    ) -> Sequence[Difference]:
        """The same for one who is allowed to already. What only the base has changed is no difference of the branch."""
        made = await self._branches.get(tenant_id, space, branch)
        await self._branches.get(tenant_id, space, base)
        found: list[Difference] = []
        while len(found) < limit:
            page = await self._branches.differing(tenant_id, space, branch, base, limit=limit, after=after)
            for sides in page:
                after = sides.document_id
                difference = await self._difference(tenant_id, sides, from_base=made.base == base)
                found += [difference] if difference else []
                if len(found) == limit:
                    break
            if len(page) < limit:
                break
        return found

    async def _difference(self, tenant_id: str, sides: Sides, *, from_base: bool) -> Difference | None:
        """None where the branch has done nothing. `from_base`: the branch was made where the base stood then."""
        if not sides.head or (sides.branch_deleted and sides.base_deleted):
            return None
        if from_base and sides.head == sides.began:
            return None  # only the base has gone on, or has forgotten it
        if not sides.base_head:
            gone = from_base and bool(sides.began)
            change = _change(sides, sides.path if sides.began else "")
            return Difference(sides=sides, ancestor=sides.began if gone else "", change=change, both_changed=gone)
        if sides.began == sides.base_head:
            change = _change(sides, sides.base_path)
            return Difference(sides=sides, ancestor=sides.base_head, change=change, both_changed=False)
        graph = await self._documents.graph(tenant_id, sides.document_id)
        ancestor = graph.ancestor(sides.head, sides.base_head)
        if ancestor == sides.head:
            return None  # only the base has gone on
        [common] = await self._documents.revisions(tenant_id, [ancestor])
        return Difference(
            sides=sides,
            ancestor=ancestor,
            change=_change(sides, common.path),
            both_changed=ancestor != sides.base_head,
        )


def _change(sides: Sides, path: str) -> Change:
    """What the branch did since the document was at `path`; empty: since it was not there."""
    if sides.branch_deleted:
        return Change.DELETE
    if not path:
        return Change.CREATE
    return Change.RENAME if sides.path != path else Change.EDIT
