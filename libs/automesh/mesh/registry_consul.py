"""Registers with Consul: a service with a TTL check, fed only while the process's own health says SERVING."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import structlog

from automesh.core.backoff import Backoff
from automesh.mesh.consul_client import CONSUL_FAULTS, ConsulConnection
from automesh.mesh.registry import HealthCheck, Instance, while_unchanged

log = structlog.get_logger(__name__)

TAG = "automesh"
"""Marks the services of the mesh among others in the same Consul."""

PROTOCOL = "grpc"
DEREGISTER_AFTER = "1m"  # the shortest that Consul accepts
GOODBYE_TIMEOUT_S = 2.0
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.2, 5.0
# Names in a service's Meta that are ours; the instance's own metadata goes beside them.
META_VERSION, META_PROTOCOL, META_SPIFFE_ID = "version", "protocol", "spiffe_id"
OWN_META = frozenset({META_VERSION, META_PROTOCOL, META_SPIFFE_ID})


class ConsulRegistry:
    """An `automesh.mesh.registry.Registry` in front of a Consul agent."""

    def __init__(
        self, address: str, *, token_file: Path | None = None, ca_file: Path | None = None, ttl_s: float = 10.0
    ) -> None:
        self._address = address
        self._token_file, self._ca_file = token_file, ca_file
        self._ttl_s = ttl_s

    async def hold(self, instance: Instance, healthy: HealthCheck) -> None:
        """See Registry.hold. Registers anew when the agent lost the registration, as one without a disk does."""
        consul = ConsulConnection(self._address, token_file=self._token_file, ca_file=self._ca_file)
        try:
            await self._keep(consul, instance, healthy)
        finally:
            await _goodbye(consul, instance.instance_id)

    async def _keep(self, consul: ConsulConnection, instance: Instance, healthy: HealthCheck) -> None:
        backoff = Backoff(first_s=FIRST_BACKOFF_S, most_s=MAX_BACKOFF_S)
        while True:
            try:
                await self._register(consul, instance, await healthy())
                backoff.reset()
                await self._feed(consul, instance, healthy)
                log.warning("consul lost the registration, registering again", instance_id=instance.instance_id)
            except CONSUL_FAULTS as error:
                log.warning("consul did not take the registration, trying again", error=repr(error))
            await asyncio.sleep(backoff.next_s())

    async def _register(self, consul: ConsulConnection, instance: Instance, healthy: bool) -> None:
        await consul.agent.service.register(
            instance.service,
            service_id=instance.instance_id,
            address=instance.address,
            port=instance.port,
            tags=[TAG, *([f"version-{instance.version}"] if instance.version else [])],
            meta=meta_of(instance),
            check=self._check(healthy),
        )
        log.info("registered", service=instance.service, instance_id=instance.instance_id)

    def _check(self, healthy: bool) -> dict[str, Any]:
        return {
            "Name": "the process's own grpc.health",
            "TTL": f"{self._ttl_s:g}s",
            "Status": "passing" if healthy else "critical",
            "DeregisterCriticalServiceAfter": DEREGISTER_AFTER,
        }

    async def _feed(self, consul: ConsulConnection, instance: Instance, healthy: HealthCheck) -> None:
        """Tells Consul the health each ttl/3 and whenever it changes; returns when Consul does not know the check."""
        check_id = f"service:{instance.instance_id}"
        while True:
            state = await healthy()
            say = consul.agent.check.ttl_pass if state else consul.agent.check.ttl_fail
            if not await say(check_id):
                return
            await while_unchanged(healthy, state, limit_s=self._ttl_s / 3)


def meta_of(instance: Instance) -> dict[str, str]:
    """What stands in Consul's Meta of the service."""
    own = {META_VERSION: instance.version, META_PROTOCOL: PROTOCOL, META_SPIFFE_ID: instance.spiffe_id}
    return {**instance.metadata, **own}


async def _goodbye(consul: ConsulConnection, instance_id: str) -> None:
    """Deregisters; where Consul is away the TTL does it."""
    try:
        async with asyncio.timeout(GOODBYE_TIMEOUT_S):
            await consul.agent.service.deregister(instance_id)
    except CONSUL_FAULTS as error:
        log.warning("could not deregister, the ttl will", instance_id=instance_id, error=repr(error))
    finally:
        await consul.close()
