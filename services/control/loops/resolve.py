"""Host names of instances to IP addresses: xDS endpoints must be addresses. Cached, bounded in time."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from services.control.domain.instance import Instance, is_ip

TIMEOUT_S = 2.0
FRESH_S = 30.0

Lookup = Callable[[str], Awaitable[str]]
"""Host name to IP address; raises OSError."""


async def look_up(host: str) -> str:
    """The first address that the system's resolver gives, IPv4 before IPv6."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(min(found, key=lambda row: row[0] is not socket.AF_INET)[4][0])


class Resolver:
    """Resolves the addresses of instances. A name that cannot be resolved keeps the address it last had."""

    def __init__(self, lookup: Lookup = look_up, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._monotonic = monotonic
        self._known: dict[str, tuple[str, float]] = {}

    async def resolve(self, instances: Iterable[Instance]) -> tuple[Instance, ...]:
        """The instances with IP addresses; one whose name was never resolved keeps the name and counts as unhealthy."""
        found = tuple(instances)
        hosts = {instance.address for instance in found if not is_ip(instance.address)}
        self._known = {host: known for host, known in self._known.items() if host in hosts}
        await asyncio.gather(*(self._refresh(host) for host in hosts))
        return tuple(self._with_ip(instance) for instance in found)

    async def _refresh(self, host: str) -> None:
        known = self._known.get(host)
        if known and self._monotonic() - known[1] < FRESH_S:
            return
        try:
            async with asyncio.timeout(TIMEOUT_S):
                self._known[host] = await self._lookup(host), self._monotonic()
        except (OSError, TimeoutError, UnicodeError):
            return

    def _with_ip(self, instance: Instance) -> Instance:
        if is_ip(instance.address):
            return instance
        known = self._known.get(instance.address)
        return replace(instance, address=known[0]) if known else replace(instance, healthy=False)
