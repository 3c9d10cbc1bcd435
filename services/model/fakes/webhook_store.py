"""Stores of webhooks and deliveries in memory, held to the same contract as those in SQL; and a scripted Sender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from automesh.core.clock import Clock
from automesh.core.errors import ValidationError
from automesh.core.ids import new_id
from automesh.core.webhooks import MAX_PENDING, MAX_TRIES, TOO_MANY_WAIT, Answer, Claimed, Delivery, Outcome, State
from services.model.domain.registry.errors import WebhookRequestReused, too_many_webhooks, webhook_not_found
from services.model.domain.webhooks.events import Event
from services.model.domain.webhooks.ports import WebhookDraft
from services.model.domain.webhooks.webhook import Webhook


@dataclass(frozen=True, slots=True)
class _Sent:
    delivery: Delivery
    body: bytes
    held_until: datetime | None = None


class FakeWebhookStore:
    """Both stores, since the one reads what the other writes."""

    def __init__(self, now: Clock, *, max_pending: int = MAX_PENDING) -> None:
        self._now = now
        self._max_pending = max_pending
        self._hooks: dict[str, tuple[WebhookDraft, Webhook]] = {}
        self._sent: dict[str, _Sent] = {}

    async def create(self, draft: WebhookDraft, *, limit: int) -> tuple[Webhook, bytes]:
        """Once for each request_id."""
        ours = [(known, hook) for known, hook in self._hooks.values() if known.tenant_id == draft.tenant_id]
        for known, hook in ours:
            if draft.request_id and known.request_id == draft.request_id:
                if known.content != draft.content:
                    raise WebhookRequestReused(f"request_id {draft.request_id!r} was used for another webhook")
                return hook, known.secret
        if len(ours) >= limit:
            raise too_many_webhooks(limit)
        hook = Webhook(
            webhook_id=draft.webhook_id, tenant_id=draft.tenant_id, content=draft.content, created_at=self._now()
        )
        self._hooks[draft.webhook_id] = (draft, hook)
        return hook, draft.secret

    async def list(self, tenant_id: str, *, limit: int, before: str | None) -> Sequence[Webhook]:
        """The newest first."""
        found = [hook for _, hook in self._hooks.values() if hook.tenant_id == tenant_id]
        found.sort(key=lambda hook: hook.webhook_id, reverse=True)
        return [hook for hook in found if before is None or hook.webhook_id < before][:limit]

    async def delete(self, tenant_id: str, webhook_id: str) -> None:
        """With its deliveries."""
        self._hook(tenant_id, webhook_id)
        del self._hooks[webhook_id]
        self._sent = {key: sent for key, sent in self._sent.items() if sent.delivery.webhook_id != webhook_id}

    async def deliveries(
        self, tenant_id: str, webhook_id: str, *, limit: int, before: str | None
    ) -> Sequence[Delivery]:
        """The newest first."""
        self._hook(tenant_id, webhook_id)
        found = [sent.delivery for sent in self._sent.values() if sent.delivery.webhook_id == webhook_id]
        found.sort(key=lambda each: each.delivery_id, reverse=True)
        return [each for each in found if before is None or each.delivery_id < before][:limit]

    # ------------------------------------------------------------------ deliveries
    async def announce(self, tenant_id: str, event: Event) -> None:
        """One for each webhook that wants it."""
        for _, hook in list(self._hooks.values()):
            if hook.tenant_id == tenant_id and (not hook.content.events or event.kind in hook.content.events):
                stuck = len([None for sent in self._waiting() if sent.delivery.webhook_id == hook.webhook_id])
                self._add(hook, event, failed=stuck >= self._max_pending)

    async def begin(self, tenant_id: str, webhook_id: str, event: Event, *, hold_for: timedelta) -> Claimed:
        """Held from the first moment."""
        sent = self._add(self._hook(tenant_id, webhook_id), event)
        return self._claim(sent, hold_for)

    async def claim(self, *, limit: int, hold_for: timedelta) -> Sequence[Claimed]:
        """One of each webhook that none is held of."""
        now = self._now()
        for key, sent in self._sent.items():
            if sent.delivery.attempts >= MAX_TRIES and sent.held_until is not None and sent.held_until <= now:
                failed = replace(
                    sent.delivery, state=State.FAILED, next_at=None, last_error="nobody knows how it ended"
                )
                self._sent[key] = _Sent(failed, sent.body)
        busy = {sent.delivery.webhook_id for sent in self._waiting() if sent.held_until and sent.held_until > now}
        taken: list[Claimed] = []
        for sent in sorted(self._waiting(), key=lambda each: (each.delivery.next_at or now, each.delivery.delivery_id)):
            due = sent.delivery.next_at is not None and sent.delivery.next_at <= now
            if due and sent.delivery.webhook_id not in busy and len(taken) < limit:
                busy.add(sent.delivery.webhook_id)
                taken.append(self._claim(sent, hold_for))
        return taken

    async def record(self, claimed: Claimed, outcome: Outcome) -> Delivery | None:
        """Only for the attempt that it was."""
        sent = self._sent.get(claimed.delivery_id)
        if sent is None or sent.delivery.attempts != claimed.attempt or sent.delivery.state is not State.PENDING:
            return None
        done = replace(
            sent.delivery,
            state=outcome.state,
            last_status=outcome.status,
            last_error=outcome.error,
            next_at=None if outcome.again_in is None else self._now() + outcome.again_in,
        )
        self._sent[claimed.delivery_id] = _Sent(done, sent.body)
        return done

    async def forget(self, older_than: timedelta, *, limit: int) -> int:
        """Finished ones."""
        before = self._now() - older_than
        old = [key for key, sent in self._sent.items() if _over(sent.delivery) and sent.delivery.created_at < before]
        for key in old[:limit]:
            del self._sent[key]
        return len(old[:limit])

    def _waiting(self) -> Sequence[_Sent]:
        return [sent for sent in self._sent.values() if sent.delivery.state is State.PENDING]

    def _hook(self, tenant_id: str, webhook_id: str) -> Webhook:
        _, hook = self._hooks.get(webhook_id, (None, None))
        if hook is None or hook.tenant_id != tenant_id:
            raise webhook_not_found(webhook_id)
        return hook

    def _add(self, hook: Webhook, event: Event, *, failed: bool = False) -> _Sent:
        delivery = Delivery(
            delivery_id=new_id("delivery"),
            webhook_id=hook.webhook_id,
            event=event.kind,
            state=State.FAILED if failed else State.PENDING,
            attempts=0,
            last_status=0,
            last_error=TOO_MANY_WAIT if failed else "",
            created_at=self._now(),
            next_at=None if failed else self._now(),
        )
        self._sent[delivery.delivery_id] = _Sent(delivery, event.body(self._now()))
        return self._sent[delivery.delivery_id]

    def _claim(self, sent: _Sent, hold_for: timedelta) -> Claimed:
        delivery = replace(sent.delivery, attempts=sent.delivery.attempts + 1)
        self._sent[delivery.delivery_id] = _Sent(delivery, sent.body, self._now() + hold_for)
        draft, hook = self._hooks[delivery.webhook_id]
        return Claimed(
            delivery_id=delivery.delivery_id,
            tenant_id=hook.tenant_id,
            webhook_id=hook.webhook_id,
            url=hook.content.url,
            secret=draft.secret,
            event=delivery.event,
            body=sent.body,
            attempt=delivery.attempts,
        )


class FakeSender:
    """Answers as told for each URL, 200 otherwise; remembers what was sent."""

    def __init__(self, *, refused: Sequence[str] = ()) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []
        self._refused = refused

    def check(self, url: str) -> None:
        """Refuses the URLs it was told to."""
        if url in self._refused:
            raise ValidationError(f"{url} is not on the allow-list", field="webhook.url")

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The next answer for the URL."""
        self.sent.append((url, dict(headers), body))
        waiting = self.answers.get(url)
        return waiting.pop(0) if waiting else Answer(200)


def _over(delivery: Delivery) -> bool:
    return delivery.state is not State.PENDING
