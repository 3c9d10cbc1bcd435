"""The embedded registry's leases: who is registered, and until when. Pure; time is given in, in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from automesh.core.errors import Exhausted, PermissionDenied
from services.control.domain.instance import Instance, check

MAX_INSTANCES = 10_000


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one stream to speak for an instance; a newer stream of the same instance takes it over."""

    instance_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class _Entry:
    instance: Instance
    epoch: int
    until: float


class LeaseTable:
    """Instances with deadlines. Every change bumps `changes`."""

    def __init__(self, *, ttl_s: float, linger_s: float) -> None:
        self.ttl_s = ttl_s
        self.changes = 0
        self._linger_s = linger_s
        self._entries: dict[str, _Entry] = {}
        self._epoch = 0

    def restore(self, instances: Iterable[Instance], *, until: float) -> None:
        """Takes in what was known before a restart; each stays until its process comes back, or `until`."""
        for instance in instances:
            self._entries[instance.instance_id] = _Entry(instance, 0, until)
            self.changes += 1

    def claim(self, instance: Instance, *, now: float) -> Lease:
        """Registers. Raises ValidationError for a bad instance, PermissionDenied for the id of another service."""
        check(instance)
        held = self._entries.get(instance.instance_id)
        if held and held.instance.service != instance.service:
            raise PermissionDenied(
                f"instance id {instance.instance_id} belongs to a process of {held.instance.service}",
                instanceId=instance.instance_id,
            )
        if held is None and len(self._entries) >= MAX_INSTANCES:
            raise Exhausted(f"the registry is full: it holds {MAX_INSTANCES} instances")
        self._epoch += 1
        self._entries.pop(instance.instance_id, None)  # so that the newest registration stands last
        self._entries[instance.instance_id] = _Entry(instance, self._epoch, now + self.ttl_s)
        if held is None or held.instance != instance:
            self.changes += 1
        return Lease(instance.instance_id, self._epoch)

    def renew(self, lease: Lease, instance: Instance, *, now: float) -> bool:
        """Pushes the deadline out and takes over what is new, such as the health. False: the lease is lost."""
        held = self._entries.get(lease.instance_id)
        if held is None or held.epoch != lease.epoch:
            return False
        if held.instance != instance:
            check(instance)
            self.changes += 1
        self._entries[lease.instance_id] = replace(held, instance=instance, until=now + self.ttl_s)
        return True

    def release(self, lease: Lease) -> None:
        """A goodbye: out at once."""
        held = self._entries.get(lease.instance_id)
        if held is not None and held.epoch == lease.epoch:
            del self._entries[lease.instance_id]
            self.changes += 1

    def linger(self, lease: Lease, *, now: float) -> None:
        """The stream broke without a goodbye: a little time to come back, so that a blink changes nothing."""
        held = self._entries.get(lease.instance_id)
        if held is not None and held.epoch == lease.epoch:
            self._entries[lease.instance_id] = replace(held, until=min(held.until, now + self._linger_s))

    def expire(self, *, now: float) -> float | None:
        """Drops what is overdue; returns the next deadline, None when nothing is left."""
        for instance_id, entry in list(self._entries.items()):
            if entry.until <= now:
                del self._entries[instance_id]
                self.changes += 1
        return min((entry.until for entry in self._entries.values()), default=None)

    def instances(self) -> tuple[Instance, ...]:
        """What is registered, oldest registration first."""
        return tuple(entry.instance for entry in self._entries.values())
