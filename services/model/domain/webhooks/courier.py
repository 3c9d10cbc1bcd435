"""Webhooks of tenants, and the carrying of deliveries to them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from automesh.core import webhooks
from automesh.core.clock import Clock
from automesh.core.errors import ValidationError
from automesh.core.webhooks import HOLD_FOR, SECRET_BYTES, Delivery, Sender
from services.model.domain.pages import cut
from services.model.domain.registry.errors import webhook_not_found
from services.model.domain.webhooks import events
from services.model.domain.webhooks.ports import DeliveryStore, WebhookDraft, WebhookStore
from services.model.domain.webhooks.webhook import MAX_WEBHOOKS, NewWebhook, Webhook

MAX_REQUEST_ID = 128


class Webhooks:
    """What people may do with webhooks."""

    def __init__(self, store: WebhookStore, sender: Sender, *, make_id: Callable[[str], str]) -> None:
        self._store = store
        self._sender = sender
        self._make_id = make_id

    async def create(self, tenant_id: str, content: NewWebhook, *, request_id: str = "") -> tuple[Webhook, bytes]:
        """The webhook and its secret, never told again. Raises ValidationError for a URL off the allow-list."""
        if len(request_id) > MAX_REQUEST_ID or "\0" in request_id:
            raise ValidationError(f"a request_id has at most {MAX_REQUEST_ID} characters", field="request_id")
        self._sender.check(content.url)
        draft = WebhookDraft(
            webhook_id=self._make_id("webhook"),
            tenant_id=tenant_id,
            content=content,
            secret=secrets.token_bytes(SECRET_BYTES),
            request_id=request_id,
        )
        return await self._store.create(draft, limit=MAX_WEBHOOKS)

    async def list(self, tenant_id: str, *, limit: int, before: str | None) -> tuple[Sequence[Webhook], Webhook | None]:
        """A page, the newest first, and its last one if more follow."""
        return cut(await self._store.list(tenant_id, limit=limit + 1, before=before), limit)

    async def delete(self, tenant_id: str, webhook_id: str) -> None:
        """Removes it with all that waits for it. Raises WebhookNotFound."""
        await self._store.delete(tenant_id, webhook_id)

    async def deliveries(
        self, tenant_id: str, webhook_id: str, *, limit: int, before: str | None
    ) -> tuple[Sequence[Delivery], Delivery | None]:
        """A page of what was sent, the newest first, and its last one if more follow. Raises WebhookNotFound."""
        return cut(await self._store.deliveries(tenant_id, webhook_id, limit=limit + 1, before=before), limit)


class Courier(webhooks.Courier):
    """Carries deliveries, and tries a webhook out."""

    def __init__(self, store: DeliveryStore, sender: Sender, *, clock: Clock) -> None:
        super().__init__(store, sender, clock=clock)
        self._store = store

    async def test(self, tenant_id: str, webhook_id: str) -> Delivery:
        """Sends a test event at once; the delivery after its first try. Raises WebhookNotFound."""
        event = events.tested(webhook_id)
        tried = await self.carry(await self._store.begin(tenant_id, webhook_id, event, hold_for=HOLD_FOR))
        if tried is None:  # it was deleted meanwhile
            raise webhook_not_found(webhook_id)
        return tried
