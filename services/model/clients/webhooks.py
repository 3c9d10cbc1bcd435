"""Sends to webhooks through the one client to the world outside, if the operator lets any webhook be."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from automesh.core.errors import AutomationError, ValidationError
from automesh.outbound.allowlist import AllowList
from automesh.outbound.errors import UrlNotAllowed
from services.model.domain.webhooks.ports import Sender
from services.model.domain.webhooks.webhook import Answer

if TYPE_CHECKING:
    from automesh.outbound.client import OutboundClient

AT_ONCE = 64
REPLY_BYTES = 4096
"""Of an answer, which nobody reads: enough to end the exchange in peace."""
FIELD = "webhook.url"
OFF = (
    "no webhook may be used here: the operator names the URLs that may in AUTOMESH_WEBHOOK_URL_ALLOW_LIST, "
    'for example ["https://hooks.example.org/"]'
)


class OutboundSender:
    """A services.model.domain.webhook_ports.Sender."""

    def __init__(self, client: OutboundClient) -> None:
        self._client = client

    def check(self, url: str) -> None:
        """Raises UrlNotAllowed unless the allow-list has it."""
        try:
            self._client.check(url)
        except UrlNotAllowed as error:
            raise UrlNotAllowed(error.message, field=FIELD) from error

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One try. Whatever goes wrong on the way is the answer."""
        try:
            reply = await self._client.post(url, body, headers=headers)
        except AutomationError as error:
            return Answer(error=error.message)
        return Answer(reply.status)


class NoSender:
    """A Sender where the allow-list is empty."""

    def check(self, url: str) -> None:
        """Refuses all."""
        raise ValidationError(OFF, field=FIELD)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What waits from better days fails."""
        return Answer(error=OFF)


@asynccontextmanager
async def open_sender(
    allow_list: Sequence[str], *, timeout_s: float, ca_file: Path | None = None
) -> AsyncGenerator[Sender]:
    """Raises BadAllowList."""
    allowed = AllowList.parse(allow_list)
    if not allowed:
        yield NoSender()
        return
    from automesh.outbound.client import OutboundClient, OutboundLimits  # noqa: PLC0415 - httpx takes memory

    limits = OutboundLimits(
        reply_bytes=REPLY_BYTES, total_s=timeout_s, connect_s=timeout_s, silence_s=timeout_s, at_once=AT_ONCE
    )
    async with OutboundClient(allowed, limits=limits, ca_file=ca_file, user_agent="automesh-webhooks") as client:
        yield OutboundSender(client)
