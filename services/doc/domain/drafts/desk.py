"""The use cases around drafts: each person has their own, and nobody sees those of another, admins neither.

Whoever no longer finds a space no longer finds their drafts there; back in it, they find them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.doc.domain.drafts.draft import Draft, NewDraft, check_id
from services.doc.domain.drafts.errors import DraftTooLarge, draft_not_found
from services.doc.domain.drafts.ports import DraftStore
from services.doc.domain.errors import SpaceNotFound
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory


class DraftDesk:
    """What people are writing: at most `most` drafts of a person, each of at most `max_bytes`."""

    def __init__(self, drafts: DraftStore, directory: SpaceDirectory, *, max_bytes: int, most: int) -> None:
        self._drafts, self._directory = drafts, directory
        self._max_bytes, self._most = max_bytes, most

    async def save(self, person: Person, draft: NewDraft) -> Draft:
        """Whoever finds the space may draft: whether they may write is asked when they save the document."""
        await self._directory.find(person, draft.space)
        size = len(draft.content.encode("utf-8", "surrogatepass"))
        if size > self._max_bytes:
            raise DraftTooLarge(
                f"the draft has {size} bytes; at most {self._max_bytes} are allowed (doc_max_page_bytes): divide it",
                field="content",
                size=size,
                limit=self._max_bytes,
            )
        return await self._drafts.save(person.tenant_id, person.user, draft, most=self._most)

    async def get(self, person: Person, draft_id: str) -> Draft:
        """One of the person's own. Raises DraftNotFound."""
        draft = await self._drafts.get(person.tenant_id, person.user, check_id(draft_id))
        try:
            await self._directory.find(person, draft.space)
        except SpaceNotFound as error:
            raise draft_not_found(draft_id) from error
        return draft

    async def list(self, person: Person, *, limit: int, before: tuple[datetime, str] | None) -> Sequence[Draft]:
        """A page of the person's own, the latest first; without contents."""
        spaces = await self._directory.visible(person)
        return await self._drafts.list(person.tenant_id, person.user, spaces, limit=limit, before=before)

    async def delete(self, person: Person, draft_id: str) -> None:
        """One of the person's own; one that is not there is no error."""
        await self._drafts.delete(person.tenant_id, person.user, check_id(draft_id))
