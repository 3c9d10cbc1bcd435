"""How a service and the whole mesh are, judged from the catalogue and from what the services answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.control.domain.instance import Instance


class Health(StrEnum):
    """The state of a service or of the whole."""

    SERVING = "serving"
    DEGRADED = "degraded"  # it works, but something is missing
    NOT_SERVING = "not_serving"


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """The state of one service, and how many of its processes are well."""

    service: str
    health: Health
    healthy_endpoints: int
    endpoints: int


@dataclass(frozen=True, slots=True)
class MeshHealth:
    """The state of the whole, and of each service by name."""

    health: Health
    services: tuple[ServiceHealth, ...]


def judge_service(service: str, instances: tuple[Instance, ...], *, answers: bool) -> ServiceHealth:
    """SERVING when all its processes are well and it answers; DEGRADED when some are."""
    healthy = sum(instance.healthy for instance in instances)
    if not healthy or not answers:
        health = Health.NOT_SERVING
    elif healthy < len(instances):
        health = Health.DEGRADED
    else:
        health = Health.SERVING
    return ServiceHealth(service, health, healthy, len(instances))


def judge_mesh(
    services: Mapping[str, ServiceHealth], *, expected: Iterable[str], essential: Iterable[str]
) -> MeshHealth:
    """NOT_SERVING when an essential service does not serve; DEGRADED when another expected one is not well."""
    states = [_of(services, name) for name in expected]
    if any(_of(services, name) is Health.NOT_SERVING for name in essential):
        overall = Health.NOT_SERVING
    elif any(state is not Health.SERVING for state in states):
        overall = Health.DEGRADED
    else:
        overall = Health.SERVING
    return MeshHealth(overall, tuple(services[name] for name in sorted(services)))


def _of(services: Mapping[str, ServiceHealth], name: str) -> Health:
    found = services.get(name)
    return found.health if found else Health.NOT_SERVING
