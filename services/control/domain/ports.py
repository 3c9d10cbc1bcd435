"""What control needs from the outside: a catalogue to follow, names to resolve, services to ask for their health."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from services.control.domain.instance import Instance
from services.control.domain.leases import Lease


class CatalogueUnavailable(Exception):
    """The catalogue cannot be read now; what was known stays true until it can."""


class Catalogue(Protocol):
    """Where the registered processes are listed."""

    @property
    def name(self) -> str:
        """What kind it is: "consul" or "embedded"."""
        ...

    def watch(self) -> AsyncIterator[tuple[Instance, ...]]:
        """All instances now, then all of them after each change, oldest registration first, without end.

        Raises CatalogueUnavailable, after which the caller watches again after a while.
        """
        ...


class Registrations(Protocol):
    """Where processes register themselves, when the registry is our own."""

    @property
    def ttl_s(self) -> float:
        """A registration that nobody renews is dropped after so many seconds."""
        ...

    def keep(self, lease: Lease | None, instance: Instance) -> Lease:
        """Renews the lease; claims a new one where there is none, or it was lost. Raises what LeaseTable.claim does."""
        ...

    def release(self, lease: Lease) -> None:
        """The process said goodbye: it is out at once."""
        ...

    def linger(self, lease: Lease) -> None:
        """The process was cut off: it may come back within a few seconds."""
        ...


class Memory(Protocol):
    """Keeps the last known instances over a restart of control."""

    async def save(self, instances: Sequence[Instance]) -> None:
        """Replaces what is remembered. Faults of the disk are logged, never raised."""
        ...


class HealthProbe(Protocol):
    """Asks a service, over the mesh, whether it serves."""

    async def serves(self, service: str) -> bool:
        """Whether the service answered in time, and said SERVING."""
        ...
