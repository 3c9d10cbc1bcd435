"""The listener of a service: what `xds:///<service>` resolves to, with its one route inline."""

from __future__ import annotations

from collections.abc import Sequence

from envoy.config.listener.v3.api_listener_pb2 import ApiListener
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import RetryPolicy, Route, RouteAction, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
)
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import UInt32Value

RETRIES = 2
FIRST_BACKOFF_MS, MAX_BACKOFF_MS = 25, 250
_MS = 1_000_000  # nanoseconds


def listener(service: str, *, repeatable: Sequence[str] = ()) -> Listener:
    """Named as the service: all calls go to the cluster of the same name, those to `repeatable` paths with retries."""
    manager = HttpConnectionManager(
        stat_prefix=service,
        route_config=_routes(service, repeatable),
        http_filters=[HttpFilter(name="router", typed_config=packed(Router()))],
    )
    return Listener(name=service, api_listener=ApiListener(api_listener=packed(manager)))


def packed(message: Message) -> Any:
    """The message as an Any."""
    out = Any()
    out.Pack(message, deterministic=True)
    return out


def _routes(service: str, repeatable: Sequence[str]) -> RouteConfiguration:
    # gRPC by itself sends again what no server has seen; what one may have done already, only where that is harmless.
    retried = _to_cluster(service, retry_policy=_retries())
    routes = [Route(match=RouteMatch(path=path), route=retried) for path in repeatable]
    routes.append(Route(match=RouteMatch(prefix=""), route=_to_cluster(service)))
    return RouteConfiguration(name=service, virtual_hosts=[VirtualHost(name=service, domains=["*"], routes=routes)])


def _to_cluster(service: str, *, retry_policy: RetryPolicy | None = None) -> RouteAction:
    timeout = Duration()  # none: callers set their own deadlines
    return RouteAction(cluster=service, timeout=timeout, retry_policy=retry_policy)


def _retries() -> RetryPolicy:
    """For a server that is gone or going: gRPC retries only while no answer has begun."""
    return RetryPolicy(
        retry_on="unavailable",
        num_retries=UInt32Value(value=RETRIES),
        retry_back_off=RetryPolicy.RetryBackOff(
            base_interval=Duration(nanos=FIRST_BACKOFF_MS * _MS),
            max_interval=Duration(nanos=MAX_BACKOFF_MS * _MS),
        ),
    )
