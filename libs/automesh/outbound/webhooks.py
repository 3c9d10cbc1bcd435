"""Sends to webhooks through the one client, if the operator lets any webhook be."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from automesh.core.errors import AutomationError, ValidationError
from automesh.core.webhooks import Answer, Sender
from automesh.outbound.allowlist import AllowList
from automesh.outbound.errors import BadAllowList, UrlNotAllowed

if TYPE_CHECKING:
    from automesh.outbound.client import OutboundClient

AT_ONCE = 64
REPLY_BYTES = 4096
"""Of an answer, which nobody reads: enough to end the exchange in peace."""


def usable(entries: list[str]) -> list[str]:
    """The operator's setting as it is. Raises ValueError, which settings show, for one that is no allow-list."""
    try:
        AllowList.parse(entries)
    except BadAllowList as error:
        raise ValueError(error.message) from error
    return entries


class OutboundSender:
    """An automesh.core.webhooks.Sender."""

    def __init__(self, client: OutboundClient, *, field: str) -> None:
        self._client, self._field = client, field

    def check(self, url: str) -> None:
        """Raises UrlNotAllowed unless the allow-list has it."""
        try:
            self._client.check(url)
        except UrlNotAllowed as error:
            raise UrlNotAllowed(error.message, field=self._field) from error

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One try. Whatever goes wrong on the way is the answer."""
        try:
            reply = await self._client.post(url, body, headers=headers)
        except AutomationError as error:
            return Answer(error=error.message)
        return Answer(reply.status)


class NoSender:
    """A Sender where the allow-list is empty."""

    def __init__(self, *, setting: str, field: str) -> None:
        self._field = field
        self._off = (
            f"no webhook may be used here: the operator names the URLs that may in {setting}, "
            'for example ["https://hooks.example.org/"]'
        )

    def check(self, url: str) -> None:
        """Refuses all."""
        raise ValidationError(self._off, field=self._field)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What waits from better days fails."""
        return Answer(error=self._off)


@asynccontextmanager
async def open_sender(
    allow_list: Sequence[str], *, setting: str, field: str, timeout_s: float, ca_file: Path | None = None
) -> AsyncGenerator[Sender]:
    """Errors name the operator's `setting` and the `field` of the request. Raises BadAllowList."""
    allowed = AllowList.parse(allow_list)
    if not allowed:
        yield NoSender(setting=setting, field=field)
        return
    from automesh.outbound.client import OutboundClient, OutboundLimits  # noqa: PLC0415 - httpx takes memory

    limits = OutboundLimits(
        reply_bytes=REPLY_BYTES, total_s=timeout_s, connect_s=timeout_s, silence_s=timeout_s, at_once=AT_ONCE
    )
    async with OutboundClient(allowed, limits=limits, ca_file=ca_file, user_agent="automesh-webhooks") as client:
        yield OutboundSender(client, field=field)
