"""Rate, errors and duration of every rpc, as Prometheus metrics; their children are bound once a method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram, start_http_server

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

SERVED = Counter("automesh_rpc_server_calls", "Calls served.", ["method", "code"])
SERVED_SECONDS = Histogram("automesh_rpc_server_seconds", "Time to serve a call.", ["method"], buckets=_BUCKETS)
SERVING = Gauge("automesh_rpc_server_in_flight", "Calls being served now.", ["method"])


class ServerMetrics:
    """The metrics of one method."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._seconds = SERVED_SECONDS.labels(method)
        self._serving = SERVING.labels(method)
        self._codes: dict[str, Counter] = {}

    def begin(self) -> None:
        """A call has come in."""
        self._serving.inc()

    def end(self, code: str, seconds: float) -> None:
        """It is answered."""
        self._serving.dec()
        self._seconds.observe(seconds)
        child = self._codes.get(code)
        if child is None:
            child = self._codes[code] = SERVED.labels(self._method, code)
        child.inc()


@contextmanager
def metrics_endpoint(port: int, host: str = "127.0.0.1") -> Iterator[None]:
    """Serves /metrics on loopback while it is open; port 0 serves nothing. The port is not for other machines."""
    if port == 0:
        yield
        return
    server, thread = start_http_server(port, addr=host)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
