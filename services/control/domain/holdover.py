"""After an outage of the catalogue: what it forgot stays for a while, so that processes have time to register again."""

from __future__ import annotations

from collections.abc import Iterable

from services.control.domain.instance import Instance


class Holdover:
    """Merges what the catalogue says with what it said before it went away. Time is given in, in seconds."""

    def __init__(self, remembered: Iterable[Instance] = (), *, grace_s: float) -> None:
        self._grace_s = grace_s
        self._last = tuple(remembered)
        self._away = False
        self._until = 0.0

    def lost(self) -> None:
        """The catalogue cannot be read, or has lost its memory."""
        self._away = True

    def merge(self, fresh: Iterable[Instance], *, now: float) -> tuple[Instance, ...]:
        """All that is to be taken as registered now."""
        found = tuple(fresh)
        if self._away:
            self._away, self._until = False, now + self._grace_s
        if now < self._until:
            known = {instance.instance_id for instance in found}
            found = (*(instance for instance in self._last if instance.instance_id not in known), *found)
        self._last = found
        return found

    def pending(self, *, now: float) -> float:
        """For how many seconds more something may be held; 0 when all is as the catalogue says."""
        return max(0.0, self._until - now)
