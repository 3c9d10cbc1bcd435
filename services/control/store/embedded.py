"""The embedded registry's catalogue: a table of leases, with people watching it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable

from services.control.domain.instance import Instance
from services.control.domain.leases import Lease, LeaseTable

TTL_S = 10.0
LINGER_S = 3.0
"""How long a process whose stream broke without a goodbye may take to come back, seconds."""

GRACE_S = 15.0
"""How long control, started again, believes what it remembers, seconds."""


class EmbeddedCatalogue:
    """A `Catalogue` and a `Registrations` of services.control.domain.ports."""

    name = "embedded"

    def __init__(
        self,
        remembered: Iterable[Instance] = (),
        *,
        ttl_s: float = TTL_S,
        linger_s: float = LINGER_S,
        grace_s: float = GRACE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = LeaseTable(ttl_s=ttl_s, linger_s=linger_s)
        self._monotonic = monotonic
        self._wakeups: set[asyncio.Event] = set()
        self._leases.restore(remembered, until=monotonic() + grace_s)

    @property
    def ttl_s(self) -> float:
        """See Registrations.ttl_s."""
        return self._leases.ttl_s

    def keep(self, lease: Lease | None, instance: Instance) -> Lease:
        """See Registrations.keep."""
        now = self._monotonic()
        if lease is None or not self._leases.renew(lease, instance, now=now):
            lease = self._leases.claim(instance, now=now)
        self._wake()
        return lease

    def release(self, lease: Lease) -> None:
        """See Registrations.release."""
        self._leases.release(lease)
        self._wake()

    def linger(self, lease: Lease) -> None:
        """See Registrations.linger."""
        self._leases.linger(lease, now=self._monotonic())
        self._wake()

    async def watch(self) -> AsyncIterator[tuple[Instance, ...]]:
        """See Catalogue.watch. Also drops what is overdue, so somebody must watch."""
        wakeup, seen = asyncio.Event(), -1
        self._wakeups.add(wakeup)
        try:
            while True:
                wakeup.clear()
                deadline = self._leases.expire(now=self._monotonic())
                if self._leases.changes != seen:
                    seen = self._leases.changes
                    yield self._leases.instances()
                    continue
                with contextlib.suppress(TimeoutError):
                    left = None if deadline is None else max(0.0, deadline - self._monotonic())
                    await asyncio.wait_for(wakeup.wait(), left)
        finally:
            self._wakeups.discard(wakeup)

    def _wake(self) -> None:
        for wakeup in self._wakeups:
            wakeup.set()
