"""Prometheus metrics of the gateway; label values come from descriptors and status codes, never from clients."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

REQUESTS = Counter("automesh_gateway_requests", "HTTP requests answered.", ["method", "status"])
SECONDS = Histogram("automesh_gateway_seconds", "Time to answer an HTTP request.", ["method"], buckets=_BUCKETS)
IN_FLIGHT = Gauge("automesh_gateway_in_flight", "HTTP requests being answered now.")


class MethodMetrics:
    """The metrics of one rpc, its children bound once."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._seconds = SECONDS.labels(method)
        self._statuses: dict[int, Counter] = {}

    def done(self, status: int, seconds: float) -> None:
        """A request was answered."""
        self._seconds.observe(seconds)
        child = self._statuses.get(status)
        if child is None:
            child = self._statuses[status] = REQUESTS.labels(self._method, str(status))
        child.inc()
