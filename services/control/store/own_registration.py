"""Control's own place in its embedded registry: no stream to itself, the same lease."""

from __future__ import annotations

import asyncio

from automesh.mesh.registry import HEALTH_POLL_S, HealthCheck
from automesh.mesh.registry import Instance as Process
from services.control.domain.instance import Instance
from services.control.domain.leases import Lease
from services.control.store.embedded import EmbeddedCatalogue


class OwnRegistration:
    """An `automesh.mesh.registry.Registry`."""

    def __init__(self, catalogue: EmbeddedCatalogue) -> None:
        self._catalogue = catalogue

    async def hold(self, instance: Process, healthy: HealthCheck) -> None:
        """See Registry.hold."""
        lease: Lease | None = None
        try:
            while True:
                lease = self._catalogue.keep(lease, _registered(instance, await healthy()))
                await asyncio.sleep(HEALTH_POLL_S)
        finally:
            if lease is not None:
                self._catalogue.release(lease)


def _registered(process: Process, healthy: bool) -> Instance:
    return Instance(
        instance_id=process.instance_id,
        service=process.service,
        address=process.address,
        port=process.port,
        version=process.version,
        healthy=healthy,
        metadata=dict(process.metadata),
        spiffe_id=process.spiffe_id,
    )
