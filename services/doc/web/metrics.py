"""Prometheus metrics of the listener; labels are status codes, never anything that readers send."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

REQUESTS = Counter("automesh_doc_site_requests", "Requests of readers of published sites answered.", ["status"])
SECONDS = Histogram("automesh_doc_site_seconds", "Time to find what a reader asked for.", buckets=_BUCKETS)
