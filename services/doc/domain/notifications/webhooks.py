"""Webhooks of spaces: addresses that are told of changes, each in order, until they fail for too long."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from automesh.core.errors import Exhausted, NotFound, ValidationError
from automesh.core.webhooks import SECRET_BYTES, Sender, check_url
from services.doc.domain.notifications.notice import NoticeKind
from services.doc.domain.spaces.access import Person
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.spaces.space import MemberRole

MAX_WEBHOOKS = 100
"""Of one space."""
KINDS = tuple(kind for kind in NoticeKind if kind is not NoticeKind.MENTION)


class DocWebhookNotFound(NotFound):
    """The space has no such webhook."""

    reason = "DOC_WEBHOOK_NOT_FOUND"


class TooManyDocWebhooks(Exhausted):
    """The space has as many webhooks as it may have."""

    reason = "TOO_MANY_DOC_WEBHOOKS"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDocWebhook:
    """What somebody asks for; checked here. No `kinds` means all."""

    url: str
    kinds: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_url(self.url, field="url")
        for kind in self.kinds:
            if kind not in KINDS:
                raise ValidationError(f"{kind[:80]!r} is not sent; there are {', '.join(KINDS)}", field="kinds")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocWebhook:
    """As it is kept, without its secret. `disabled_reason`: nothing is sent, and why."""

    webhook_id: str
    tenant_id: str
    space: str
    content: NewDocWebhook
    created_by: str
    created_at: datetime
    last_result: str = ""
    last_at: datetime | None = None
    disabled_reason: str = ""
    waiting: int = 0


class DocWebhookStore(Protocol):
    """Webhooks of spaces. Every method may raise Unavailable."""

    async def add(self, hook: DocWebhook, secret: bytes, *, most: int) -> DocWebhook:
        """Raises TooManyDocWebhooks."""
        ...

    async def list(self, tenant_id: str, space: str) -> Sequence[DocWebhook]:
        """All of a space, the oldest first."""
        ...

    async def enable(self, tenant_id: str, space: str, webhook_id: str) -> DocWebhook:
        """What waits is sent at once. Raises DocWebhookNotFound."""
        ...

    async def delete(self, tenant_id: str, space: str, webhook_id: str) -> None:
        """With all that waits for it; one that is not there is no error."""
        ...


class DocWebhooks:
    """What owners of spaces may do with webhooks."""

    def __init__(
        self,
        store: DocWebhookStore,
        sender: Sender,
        directory: SpaceDirectory,
        *,
        make_id: Callable[[str], str],
    ) -> None:
        self._store, self._sender, self._directory = store, sender, directory
        self._make_id = make_id

    async def create(self, person: Person, space: str, new: NewDocWebhook, now: datetime) -> tuple[DocWebhook, bytes]:
        """The webhook and its secret, never told again. Raises ValidationError for a URL off the allow-list."""
        await self._directory.find(person, space, MemberRole.OWNER)
        self._sender.check(new.url)
        secret = secrets.token_bytes(SECRET_BYTES)
        hook = DocWebhook(
            webhook_id=self._make_id("hook"),
            tenant_id=person.tenant_id,
            space=space,
            content=new,
            created_by=person.user,
            created_at=now,
        )
        return await self._store.add(hook, secret, most=MAX_WEBHOOKS), secret

    async def list(self, person: Person, space: str) -> Sequence[DocWebhook]:
        """All of a space."""
        await self._directory.find(person, space, MemberRole.OWNER)
        return await self._store.list(person.tenant_id, space)

    async def enable(self, person: Person, space: str, webhook_id: str) -> DocWebhook:
        """Sends again. Raises DocWebhookNotFound."""
        await self._directory.find(person, space, MemberRole.OWNER)
        return await self._store.enable(person.tenant_id, space, webhook_id)

    async def delete(self, person: Person, space: str, webhook_id: str) -> None:
        """Removes it with all that waits for it."""
        await self._directory.find(person, space, MemberRole.OWNER)
        await self._store.delete(person.tenant_id, space, webhook_id)


def webhook_not_found(space: str, webhook_id: str) -> DocWebhookNotFound:
    """With what was asked for."""
    return DocWebhookNotFound(
        f"the space {space} has no webhook {webhook_id[:80]!r}", space=space, webhookId=webhook_id
    )
