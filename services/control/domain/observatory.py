"""The state of the mesh, looked at no more than once a second however many ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from services.control.domain.health import MeshHealth, ServiceHealth, judge_mesh, judge_service
from services.control.domain.ports import HealthProbe
from services.control.domain.topology import Topology

FRESH_S = 1.0


class Observatory:
    """Combines the catalogue with what the services themselves answer."""

    def __init__(
        self,
        topology: Topology,
        probe: HealthProbe,
        *,
        expected: Sequence[str],
        essential: Sequence[str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topology, self._probe = topology, probe
        self._expected, self._essential = tuple(expected), tuple(essential)
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._seen: MeshHealth | None = None
        self._seen_at = 0.0

    async def health(self) -> MeshHealth:
        """At most a second old. Callers that come together share one look."""
        async with self._lock:
            if self._seen is None or self._monotonic() - self._seen_at >= FRESH_S:
                self._seen = await self._look()
                self._seen_at = self._monotonic()
            return self._seen

    async def _look(self) -> MeshHealth:
        names = sorted({*self._expected, *self._topology.snapshot.services})
        looked = await asyncio.gather(*(self._look_at(name) for name in names))
        services = {health.service: health for health in looked if health.endpoints or health.service in self._expected}
        return judge_mesh(services, expected=self._expected, essential=self._essential)

    async def _look_at(self, service: str) -> ServiceHealth:
        instances = self._topology.snapshot.services.get(service, ())
        worth_asking = any(instance.healthy for instance in instances)
        answers = worth_asking and await self._probe.serves(service)
        return judge_service(service, instances, answers=answers)
