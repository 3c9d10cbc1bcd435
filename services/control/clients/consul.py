"""Consul's catalogue of the services that carry our tag, followed by blocking queries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from automesh.mesh.consul_client import CONSUL_FAULTS, ConsulConnection
from automesh.mesh.registry_consul import META_SPIFFE_ID, META_VERSION, OWN_META, TAG
from services.control.domain.holdover import Holdover
from services.control.domain.instance import Instance
from services.control.domain.ports import CatalogueUnavailable

log = structlog.get_logger(__name__)

WAIT_S = 30
READ_TIMEOUT_S = 5.0
SLACK_S = 10.0  # Consul adds up to wait/16 to each blocking query
GRACE_S = 15.0
"""After an outage of Consul: how long what it forgot is kept, so that processes have time to register again."""

PAUSE_S = 0.05
"""At most so many reads: a busy Consul wakes every blocking query at every change of anything."""

_OURS = f'"{TAG}" in ServiceTags'


class ConsulCatalogue:
    """A `services.control.domain.ports.Catalogue` over a Consul agent."""

    name = "consul"

    def __init__(
        self,
        address: str,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        remembered: Iterable[Instance] = (),
        grace_s: float = GRACE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._token_file, self._ca_file = token_file, ca_file
        self._holdover = Holdover(remembered, grace_s=grace_s)
        self._monotonic = monotonic

    async def watch(self) -> AsyncIterator[tuple[Instance, ...]]:
        """See Catalogue.watch."""
        consul = ConsulConnection(
            self._address, token_file=self._token_file, ca_file=self._ca_file, timeout_s=WAIT_S + SLACK_S
        )
        try:
            async for instances in self._follow(consul):
                yield instances
        except CONSUL_FAULTS as error:
            self._holdover.lost()
            raise CatalogueUnavailable(f"consul at {self._address}: {error!r}") from error
        finally:
            await consul.close()

    async def _follow(self, consul: ConsulConnection) -> AsyncIterator[tuple[Instance, ...]]:
        index: int | None = None
        while True:
            fresh_index, checks = await consul.health.state("any", index=index, wait=self._wait(), filter_expr=_OURS)
            following = _next_index(index, int(fresh_index))
            if following is None and index is not None:
                self._holdover.lost()  # the index ran backwards: another Consul, or one without its data
            index = following
            fresh = await _read(consul, {check["ServiceName"] for check in checks or ()})
            yield self._holdover.merge(fresh, now=self._monotonic())
            await asyncio.sleep(PAUSE_S)

    def _wait(self) -> str:
        """Shorter while something is held over, so that its end is noticed."""
        pending = self._holdover.pending(now=self._monotonic())
        return f"{max(1, round(min(WAIT_S, pending or WAIT_S)))}s"


async def _read(consul: ConsulConnection, services: Iterable[str]) -> list[Instance]:
    found: list[tuple[int, Instance]] = []
    for service in sorted(services):
        async with asyncio.timeout(READ_TIMEOUT_S):
            _, nodes = await consul.health.service(service, tag=TAG)
        found += [(_created(node), instance_from_consul(node)) for node in nodes or ()]
    return [instance for _, instance in sorted(found, key=lambda pair: pair[0])]


def _created(node: Mapping[str, Any]) -> int:
    return int(node["Service"].get("CreateIndex", 0))


def _next_index(before: int | None, fresh: int) -> int | None:
    """What Consul's documentation asks for: start over when the index runs backwards or is not positive."""
    return None if fresh < 1 or (before is not None and fresh < before) else fresh


def instance_from_consul(node: Mapping[str, Any]) -> Instance:
    """An entry of /v1/health/service. Whatever is missing or odd comes out as an instance that `check` refuses."""
    service, meta = node["Service"], node["Service"].get("Meta") or {}
    return Instance(
        instance_id=service["ID"],
        service=service["Service"],
        address=service.get("Address") or node["Node"]["Address"],
        port=int(service.get("Port") or 0),
        version=meta.get(META_VERSION, ""),
        healthy=all(check["Status"] == "passing" for check in node["Checks"]),
        metadata={key: value for key, value in meta.items() if key not in OWN_META},
        spiffe_id=meta.get(META_SPIFFE_ID, ""),
    )
