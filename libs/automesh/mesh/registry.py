"""How a process is found: what it says of itself, and the port through which it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

HealthCheck = Callable[[], Awaitable[bool]]
"""Whether the process's own health check says SERVING at this moment; cheap, it is asked twice a second."""

HEALTH_POLL_S = 0.5
"""How often a registry asks the process for its health, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A process of the mesh, as its callers see it."""

    instance_id: str
    service: str
    address: str
    port: int
    version: str = ""
    healthy: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)
    spiffe_id: str = ""


async def while_unchanged(
    healthy: HealthCheck, state: bool, *, limit_s: float, stop: asyncio.Event | None = None
) -> None:
    """Returns once the health is no longer `state`, `stop` is set, or after `limit_s` seconds."""
    stop = stop or asyncio.Event()
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while not await stopped_within(stop, HEALTH_POLL_S) and await healthy() is state:
                pass


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Waits so long at most; whether it is time to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()


class Registry(Protocol):
    """Where processes make themselves known."""

    async def hold(self, instance: Instance, healthy: HealthCheck) -> None:
        """Keeps `instance` registered until cancelled, then takes it out (within 2 s) and ends.

        Faults of the registry are logged and mended here, by trying again. Raises only what trying again cannot
        mend: ValidationError or PermissionDenied, when the registry refuses what the process says of itself.
        """
        ...
