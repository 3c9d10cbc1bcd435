"""The whole mesh at one moment: which services there are, and which processes stand behind each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from automesh.core.errors import ValidationError
from services.control.domain.instance import Instance, check

Rejected = tuple[Instance, str]
"""An instance that is left out, and why."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every known service and its processes. A service that lost all of them stays, with none."""

    version: int = 0
    services: Mapping[str, tuple[Instance, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def endpoints(self, service: str) -> tuple[Instance, ...]:
        """The healthy processes of a service, one for each address: where calls may go."""
        return tuple(instance for instance in self.services.get(service, ()) if instance.healthy)

    def instances(self) -> tuple[Instance, ...]:
        """All processes, by service and then by id."""
        return tuple(instance for name in sorted(self.services) for instance in self.services[name])

    def next(
        self, instances: Iterable[Instance], *, spiffe_id: Callable[[str], str]
    ) -> tuple[Snapshot, tuple[Rejected, ...]]:
        """The snapshot after this one; itself when nothing changed. Bad instances are left out and returned.

        `spiffe_id` tells which id a service must have: one that registered with another is left out.
        """
        good, rejected = _sieve(instances, spiffe_id)
        services: dict[str, list[Instance]] = {name: [] for name in self.services}
        for instance in _one_per_address(good):
            services.setdefault(instance.service, []).append(instance)
        frozen = {name: tuple(sorted(found, key=_by_id)) for name, found in sorted(services.items())}
        if frozen == self.services:
            return self, rejected
        return Snapshot(self.version + 1, MappingProxyType(frozen)), rejected


def empty_snapshot(services: Iterable[str]) -> Snapshot:
    """No process yet, but these services are known, so that callers may already wait for them."""
    return Snapshot(0, MappingProxyType(dict.fromkeys(sorted(services), ())))


def _sieve(
    instances: Iterable[Instance], spiffe_id: Callable[[str], str]
) -> tuple[list[Instance], tuple[Rejected, ...]]:
    good: dict[str, Instance] = {}
    rejected: list[Rejected] = []
    for instance in instances:
        reason = _reason_against(instance, spiffe_id)
        if reason:
            rejected.append((instance, reason))
        else:
            good[instance.instance_id] = instance
    return list(good.values()), tuple(rejected)


def _reason_against(instance: Instance, spiffe_id: Callable[[str], str]) -> str:
    try:
        check(instance)
    except ValidationError as error:
        return error.message
    expected = spiffe_id(instance.service)
    if instance.spiffe_id and instance.spiffe_id != expected:
        return f"it says it is {instance.spiffe_id}, but {instance.service} is {expected}"
    return ""


def _one_per_address(instances: Iterable[Instance]) -> Iterable[Instance]:
    """A port has one owner: the process that registered last. The one before it died without a goodbye."""
    return {(instance.address, instance.port): instance for instance in instances}.values()


def _by_id(instance: Instance) -> str:
    return instance.instance_id
