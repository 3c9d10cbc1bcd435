"""Follows the catalogue and keeps the topology and the memory up to date. Nothing it meets empties the mesh."""

from __future__ import annotations

import asyncio

import structlog

from automesh.core.backoff import Backoff
from services.control.domain.instance import Instance
from services.control.domain.ports import Catalogue, CatalogueUnavailable, Memory
from services.control.domain.snapshot import Rejected
from services.control.domain.topology import Topology
from services.control.loops.resolve import Resolver

log = structlog.get_logger(__name__)

COALESCE_S = 0.02
"""Changes that come together are taken together."""

FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.2, 5.0


async def follow(
    catalogue: Catalogue, topology: Topology, memory: Memory, resolver: Resolver, *, backoff_s: float = FIRST_BACKOFF_S
) -> None:
    """Runs until cancelled."""
    rejections = _Rejections()
    backoff = Backoff(first_s=backoff_s, most_s=MAX_BACKOFF_S)
    while True:
        try:
            async for instances in catalogue.watch():
                backoff.reset()
                rejections.report(topology.update(await resolver.resolve(instances)))
                await memory.save(topology.snapshot.instances())
                await asyncio.sleep(COALESCE_S)
        except CatalogueUnavailable as error:
            log.warning("catalogue is away, the last snapshot stays", error=str(error))
        await asyncio.sleep(backoff.next_s())


class _Rejections:
    """Says once, not at every change, that an instance is left out."""

    def __init__(self) -> None:
        self._reported: set[tuple[str, str]] = set()

    def report(self, rejected: tuple[Rejected, ...]) -> None:
        for instance, reason in rejected:
            if _key(instance, reason) not in self._reported:
                log.warning(
                    "instance is left out", instance_id=instance.instance_id, service=instance.service, reason=reason
                )
        self._reported = {_key(instance, reason) for instance, reason in rejected}


def _key(instance: Instance, reason: str) -> tuple[str, str]:
    return instance.instance_id, reason
