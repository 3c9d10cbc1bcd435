"""The use cases around spaces, and the one place that is asked who may do what in one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from automesh.core.errors import PermissionDenied, ValidationError
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.errors import SpaceChanged, space_not_found
from services.doc.domain.spaces.access import Person, check
from services.doc.domain.spaces.ports import SpaceStore
from services.doc.domain.spaces.space import MemberRole, NewSpace, Space, Visibility, is_name
from services.doc.domain.validation.policy import check_rules

MAX_REASON = 1024


class SpaceDirectory:
    """Spaces as somebody finds them."""

    def __init__(self, spaces: SpaceStore, doorbell: Doorbell) -> None:
        self._spaces, self._doorbell = spaces, doorbell

    async def find(self, person: Person, space: str, least: MemberRole = MemberRole.READER) -> Space:
        """The space, for somebody who may do that much there. Raises SpaceNotFound, PermissionDenied."""
        if not is_name(space):
            raise space_not_found(space)
        found = await self._spaces.get(person.tenant_id, space)
        check(found, person, least)
        return found

    async def visible(self, person: Person, space: str = "") -> Sequence[str]:
        """The names of the spaces that somebody finds; just the one when it is named. Raises SpaceNotFound for it."""
        if space:
            return [(await self.find(person, space)).space]
        return await self._spaces.visible(person)

    async def counted(self, person: Person, space: str) -> Space:
        """The space with its documents counted."""
        await self.find(person, space)
        return await self._spaces.counted(person.tenant_id, space)

    async def list(self, person: Person, *, limit: int, after: str) -> Sequence[Space]:
        """A page by name."""
        return await self._spaces.list(person, limit=limit, after=after)

    async def create(self, person: Person, space: NewSpace) -> Space:
        """A new space. One of members only has its maker among its owners."""
        await asyncio.to_thread(check_rules, space.rules)
        if space.visibility is Visibility.MEMBERS:
            space = replace(space, members={person.user: MemberRole.OWNER, **space.members})
        made = await self._spaces.add(person.tenant_id, space, person.user)
        self._doorbell.ring()
        return made

    async def replace(self, person: Person, space: NewSpace, etag: str) -> Space:
        """As an owner. Raises SpaceChanged when the etag is not the space's."""
        found = await self.find(person, space.space, MemberRole.OWNER)
        if not etag:
            raise ValidationError("send the etag of the space that you have read", field="space.etag")
        if etag != str(found.edition):
            raise space_changed(space.space)
        await asyncio.to_thread(check_rules, space.rules)
        replaced = await self._spaces.replace(person.tenant_id, space, found.edition)
        self._doorbell.ring()
        return replaced

    async def delete(self, person: Person, space: str, *, force: bool, reason: str) -> None:
        """As an owner."""
        await self.find(person, space, MemberRole.OWNER)
        if force and not reason.strip():
            raise ValidationError("to force it, say why: the reason is written to the audit log", field="reason")
        if len(reason) > MAX_REASON or "\x00" in reason:
            raise ValidationError(f"a reason has at most {MAX_REASON} characters, none of them NUL", field="reason")
        if force and not person.admin:
            raise PermissionDenied("deleting a space with documents in it needs the permission doc.admin", space=space)
        await self._spaces.delete(person.tenant_id, space, force=force)
        self._doorbell.ring()


def space_changed(space: str) -> SpaceChanged:
    """With what to do."""
    return SpaceChanged(f"the space {space} has changed since you read it: read it again", space=space)
