"""What Prometheus sees of the task engine. Kept as things happen; the depth of the queue is sampled by a loop."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.orchestrator.domain.task import Status

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)


class PrometheusMeter:
    """A services.orchestrator.domain.ports.Meter."""

    def __init__(self, registry: CollectorRegistry) -> None:
        became = Counter("automesh_task_transitions", "Tasks that came into a state.", ["status"], registry=registry)
        depth = Gauge("automesh_task_depth", "Tasks that wait or run, sampled.", ["status"], registry=registry)
        self._became = {status: became.labels(status.lower()) for status in Status}
        self._depth = {status: depth.labels(status.lower()) for status in (Status.SCHEDULED, Status.RUNNING)}
        self._leased = Histogram(
            "automesh_task_lease_wait_seconds",
            "From the moment a task was ready to its lease.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._agents = Gauge("automesh_agents_connected", "Agents with a stream to this process.", registry=registry)
        self._registry = registry
        self._collectors = (became, depth, self._leased, self._agents)

    def close(self) -> None:
        """Leaves the registry, so that another engine of this process may enter it."""
        for collector in self._collectors:
            self._registry.unregister(collector)

    def became(self, status: Status) -> None:
        """One more."""
        self._became[status].inc()

    def leased(self, waited_s: float) -> None:
        """One lease."""
        self._leased.observe(max(0.0, waited_s))

    def depth(self, depth: Mapping[Status, int]) -> None:
        """A new sample."""
        for status, count in depth.items():
            self._depth[status].set(count)

    def agents(self, connected: int) -> None:
        """A new number."""
        self._agents.set(connected)
