"""Moves of aliases: decided outside of any transaction, and made only if what they rest on is still so. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.model.domain import bounds
from services.model.domain.registry.gates import AliasGates, ComparisonGate, GateResult
from services.model.domain.registry.model import Model

MAX_REASON = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a decision rests on: the gates of the alias, and who held the aliases they look at (0: nobody)."""

    gates: AliasGates
    holders: Mapping[str, int]

    @classmethod
    def of(cls, model: Model, alias: str) -> Basis:
        """The basis as the model stands now."""
        gates = model.gates_of(alias)
        named = {each.alias or alias for each in gates.gates if isinstance(each, ComparisonGate)} | {alias}
        return cls(gates=gates, holders={name: model.aliases.get(name, 0) for name in sorted(named)})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMove:
    """A move that was decided: to `version`, 0 to remove the alias."""

    move_id: str
    alias: str
    version: int
    moved_by: str
    results: tuple[GateResult, ...] = ()
    override_reason: str = ""
    basis: Basis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasMove:
    """A move that was made."""

    move_id: str
    alias: str
    from_version: int
    to_version: int
    override_reason: str
    results: tuple[GateResult, ...]
    moved_by: str
    moved_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasRequest:
    """An alias that a new version asks for."""

    tenant_id: str
    model_id: str
    version: int
    alias: str
    requested_by: str
    tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gates of an alias say about a version, and what that rests on."""

    basis: Basis
    results: tuple[GateResult, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether all gates passed."""
        return all(result.passed for result in self.results)

    def why_not(self) -> str:
        """The gates that did not pass, for people."""
        failed = [result for result in self.results if not result.passed]
        return "; ".join(
            f"{result.gate}: {result.message or f'measured {result.value:.6g}, bound {result.bound:.6g}'}"
            for result in failed
        )


def check_reason(reason: str, *, field: str) -> None:
    """Raises ValidationError for a reason that is too long or holds a NUL character."""
    bounds.text(reason, MAX_REASON, field=field)
