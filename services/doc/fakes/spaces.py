"""A SpaceStore in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from services.doc.domain.branches.branch import Branch
from services.doc.domain.errors import SpaceNotEmpty, SpaceTaken
from services.doc.domain.spaces.access import Person, role_in
from services.doc.domain.spaces.directory import space_changed
from services.doc.domain.spaces.space import MAIN, NewSpace, Space
from services.doc.fakes.library import FakeLibrary


class FakeSpaceStore:
    """A services.doc.domain.spaces.ports.SpaceStore."""

    def __init__(self, library: FakeLibrary) -> None:
        self._library = library

    async def add(self, tenant_id: str, space: NewSpace, created_by: str) -> Space:
        """See the port."""
        rows, now = self._library.rows, self._library.clock()
        if (tenant_id, space.space) in rows.spaces:
            raise SpaceTaken(f"there is a space {space.space!r} already", space=space.space)
        made = Space(
            **_asked(space), tenant_id=tenant_id, edition=1, created_by=created_by, created_at=now, updated_at=now
        )
        rows.spaces[(tenant_id, space.space)] = made
        rows.branches[(tenant_id, space.space, MAIN)] = Branch(
            space=space.space, branch=MAIN, base="", created_by=created_by, created_at=now, updated_at=now
        )
        return made

    async def get(self, tenant_id: str, space: str) -> Space:
        """See the port."""
        return self._library.space(tenant_id, space)

    async def counted(self, tenant_id: str, space: str) -> Space:
        """See the port."""
        found = self._library.space(tenant_id, space)
        return replace(found, document_count=self._library.branch(tenant_id, space, MAIN).document_count)

    async def list(self, person: Person, *, limit: int, after: str) -> Sequence[Space]:
        """See the port."""
        names = [each for each in await self.visible(person) if each > after][:limit]
        return [replace(await self.counted(person.tenant_id, each), members={}) for each in names]

    async def visible(self, person: Person) -> Sequence[str]:
        """See the port."""
        return sorted(
            each.space
            for each in self._library.rows.spaces.values()
            if each.tenant_id == person.tenant_id and role_in(each, person) is not None
        )

    async def replace(self, tenant_id: str, space: NewSpace, edition: int) -> Space:
        """See the port."""
        found = self._library.rows.spaces.get((tenant_id, space.space))
        if found is None or found.edition != edition:
            raise space_changed(space.space)
        changed = replace(found, **_asked(space), edition=edition + 1, updated_at=self._library.clock())
        self._library.rows.spaces[(tenant_id, space.space)] = changed
        self._library.tell(tenant_id, space.space)
        return changed

    async def delete(self, tenant_id: str, space: str, *, force: bool) -> None:
        """See the port."""
        self._library.space(tenant_id, space)
        rows = self._library.rows
        inside = [key for key, each in rows.documents.items() if (each.tenant_id, each.space) == (tenant_id, space)]
        if inside and not force:
            raise SpaceNotEmpty(f"the space {space} has documents", space=space)
        for document_id in inside:
            self._library.forget_document(document_id)
        for where in [each for each in rows.branches if each[:2] == (tenant_id, space)]:
            self._library.forget_branch(where)
        rows.reviews = {
            key: each for key, each in rows.reviews.items() if (each.tenant_id, each.space) != (tenant_id, space)
        }
        del rows.spaces[(tenant_id, space)]
        self._library.tell(tenant_id, space)


def _asked(space: NewSpace) -> dict[str, Any]:
    values = {each.name: getattr(space, each.name) for each in fields(NewSpace)}
    return {**values, "title": space.title or space.space}
