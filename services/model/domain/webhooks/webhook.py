"""Webhooks of models and runs: what somebody may ask for, and what is stored. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from automesh.core.errors import ValidationError
from automesh.core.webhooks import check_url
from services.model.domain.registry.model import check_description
from services.model.domain.webhooks import events

MAX_WEBHOOKS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """What somebody asks for; checked here. No `events` means all of them."""

    url: str
    events: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        check_url(self.url, field="webhook.url")
        check_description(self.description, field="webhook.description")
        for event in self.events:
            if event not in events.KINDS:
                raise ValidationError(
                    f"{event[:80]!r} is no event; there are {', '.join(events.KINDS)}", field="webhook.events"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A stored webhook, without its secret."""

    webhook_id: str
    tenant_id: str
    content: NewWebhook
    created_at: datetime
