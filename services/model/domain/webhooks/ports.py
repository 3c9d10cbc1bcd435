"""What webhooks need from outside. Every method of a store may raise Unavailable while the database is away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from automesh.core.webhooks import Claimed, Delivery, DeliveryQueue
from services.model.domain.webhooks.events import Event
from services.model.domain.webhooks.webhook import NewWebhook, Webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDraft:
    """A webhook about to be stored. An empty `request_id` makes no promise."""

    webhook_id: str
    tenant_id: str
    content: NewWebhook
    secret: bytes
    request_id: str = ""


class WebhookStore(Protocol):
    """Webhooks of tenants. Anything of another tenant raises WebhookNotFound."""

    async def create(self, draft: WebhookDraft, *, limit: int) -> tuple[Webhook, bytes]:
        """The webhook and its secret; those of the first time when the request_id was seen before.

        Raises TooManyWebhooks beyond `limit`, WebhookRequestReused when it was another webhook.
        """
        ...

    async def list(self, tenant_id: str, *, limit: int, before: str | None) -> Sequence[Webhook]:
        """A page, the newest first."""
        ...

    async def delete(self, tenant_id: str, webhook_id: str) -> None:
        """With all that waits for it."""
        ...

    async def deliveries(
        self, tenant_id: str, webhook_id: str, *, limit: int, before: str | None
    ) -> Sequence[Delivery]:
        """A page, the newest first."""
        ...


class DeliveryStore(DeliveryQueue, Protocol):
    """Deliveries of all tenants, for the loops."""

    async def announce(self, tenant_id: str, event: Event) -> None:
        """Makes a delivery for each webhook that wants the event."""
        ...

    async def begin(self, tenant_id: str, webhook_id: str, event: Event, *, hold_for: timedelta) -> Claimed:
        """A delivery for one webhook, held for its first try. Raises WebhookNotFound."""
        ...

    async def forget(self, older_than: timedelta, *, limit: int) -> int:
        """Removes finished deliveries; returns how many."""
        ...
