"""A task type of this agent, and whether it can be done on this machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ability:
    """`unavailable_reason` is empty when it can be done; else why it cannot, for people."""

    type: str
    description: str
    unavailable_reason: str = ""

    @property
    def available(self) -> bool:
        """Whether it can be done just now."""
        return not self.unavailable_reason
