"""Between control's protos and its domain."""

from __future__ import annotations

from collections.abc import Sequence

from automesh.control.v1 import mesh_service_pb2 as mesh
from automesh.control.v1 import registry_service_pb2 as registry
from services.control.domain.health import Health, ServiceHealth
from services.control.domain.instance import Instance

STATUS = {
    Health.SERVING: mesh.HEALTH_STATUS_SERVING,
    Health.DEGRADED: mesh.HEALTH_STATUS_DEGRADED,
    Health.NOT_SERVING: mesh.HEALTH_STATUS_NOT_SERVING,
}


def instance_from_proto(request: registry.HoldRegistrationRequest, *, spiffe_id: str) -> Instance:
    """What a process says of itself, with the identity that it proved."""
    return Instance(
        instance_id=request.instance_id,
        service=request.service,
        address=request.address,
        port=request.port,
        version=request.version,
        healthy=request.healthy,
        metadata=dict(request.metadata),
        spiffe_id=spiffe_id,
    )


def service_to_proto(name: str, instances: Sequence[Instance]) -> mesh.Service:
    """A service and its counts."""
    healthy = [instance for instance in instances if instance.healthy]
    return mesh.Service(
        name=name,
        healthy_endpoints=len(healthy),
        endpoints=len(instances),
        versions=sorted({instance.version for instance in healthy if instance.version}),
    )


def endpoint_to_proto(instance: Instance, *, spiffe_id: str) -> mesh.Endpoint:
    """A process, with the id that its certificate must carry."""
    return mesh.Endpoint(
        instance_id=instance.instance_id,
        service=instance.service,
        address=instance.address,
        port=instance.port,
        healthy=instance.healthy,
        version=instance.version,
        spiffe_id=spiffe_id,
        metadata=dict(instance.metadata),
    )


def health_to_proto(health: ServiceHealth) -> mesh.ServiceHealth:
    """The state of a service."""
    return mesh.ServiceHealth(
        service=health.service,
        status=STATUS[health.health],
        healthy_endpoints=health.healthy_endpoints,
        endpoints=health.endpoints,
    )
