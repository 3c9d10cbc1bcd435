"""The endpoints of a service, by zone."""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.wrappers_pb2 import UInt32Value

from services.control.domain.instance import ZONE, Instance

DEFAULT_ZONE = "default"


def endpoints(service: str, instances: Iterable[Instance]) -> ClusterLoadAssignment:
    """A zone weighs as much as it has processes, so that every process gets the same share."""
    zones: dict[str, list[Instance]] = {}
    for instance in instances:
        zones.setdefault(instance.metadata.get(ZONE) or DEFAULT_ZONE, []).append(instance)
    return ClusterLoadAssignment(
        cluster_name=service, endpoints=[_zone(name, members) for name, members in sorted(zones.items())]
    )


def _zone(name: str, instances: list[Instance]) -> LocalityLbEndpoints:
    return LocalityLbEndpoints(
        locality=Locality(zone=name),
        load_balancing_weight=UInt32Value(value=len(instances)),
        lb_endpoints=[_endpoint(instance) for instance in instances],
    )


def _endpoint(instance: Instance) -> LbEndpoint:
    address = Address(socket_address=SocketAddress(address=instance.address, port_value=instance.port))
    return LbEndpoint(endpoint=Endpoint(address=address), health_status=HealthStatus.HEALTHY)
