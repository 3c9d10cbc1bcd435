"""Moves aliases: measures what their gates ask for, decides, and moves only what still rests on the same ground."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from automesh.core.errors import AutomationError, ValidationError
from services.model.domain.alias import check_alias
from services.model.domain.registry import gates as rules
from services.model.domain.registry.errors import AliasRaced, GatesNotPassed, VersionNotFound
from services.model.domain.registry.gates import (
    ComparisonGate,
    DriftGate,
    Gate,
    GateResult,
    Holder,
    LatencyGate,
    MetricGate,
    SizeGate,
)
from services.model.domain.registry.model import MAX_ALIASES, Model
from services.model.domain.registry.moves import AliasRequest, Basis, NewMove, Verdict, check_reason
from services.model.domain.registry.ports import AliasRequests, BasisChanged, GateKeeper, ModelStore
from services.model.domain.registry.version import ModelVersion

TRIES = 5
"""Decisions on one move before its caller is told that others move too."""
HOLD_FOR = timedelta(minutes=2)
MAX_REQUEST_TRIES = 10
SOON_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What somebody asks for: `alias` to `version`; with a reason also if gates fail."""

    tenant_id: str
    model_id: str
    alias: str
    version: int
    moved_by: str
    override_reason: str = ""

    def __post_init__(self) -> None:
        check_alias(self.alias)
        check_reason(self.override_reason, field="override_reason")
        if self.version < 1:
            raise ValidationError("which version? An alias is moved to one that is named, from 1", field="version")


class Promotion:
    """Holds versions against gates, and moves aliases."""

    def __init__(
        self, store: ModelStore, requests: AliasRequests, keeper: GateKeeper, *, make_id: Callable[[str], str]
    ) -> None:
        self._store = store
        self._requests = requests
        self._keeper = keeper
        self._make_id = make_id

    async def check(self, tenant_id: str, model_id: str, version: int, alias: str) -> Verdict:
        """What the gates of an alias say about a version; moves nothing."""
        check_alias(alias)
        model = await self._store.get(tenant_id, model_id)
        return await self._judge(model, await self._store.version(tenant_id, model_id, version), alias)

    async def move(self, asked: Move) -> tuple[Model, Sequence[GateResult]]:
        """Moves an alias if its gates pass, or with a reason. A move that raced with another is decided again.

        Raises GatesNotPassed, AliasRaced, ModelNotFound, VersionNotFound.
        """
        candidate = await self._store.version(asked.tenant_id, asked.model_id, asked.version)
        for _ in range(TRIES):
            model = await self._store.get(asked.tenant_id, asked.model_id)
            verdict = await self._judge(model, candidate, asked.alias)
            if model.aliases.get(asked.alias) == asked.version:
                return model, verdict.results
            _check_room(model, asked.alias)
            if not verdict.passed and not asked.override_reason.strip():
                raise _not_passed(asked, verdict)
            try:
                return await self._store.move(
                    asked.tenant_id, asked.model_id, self._new(asked, verdict)
                ), verdict.results
            except BasisChanged:
                continue
        raise AliasRaced(
            f"aliases of model {asked.model_id} kept moving while {asked.alias} was being decided: try again",
            modelId=asked.model_id,
            alias=asked.alias,
        )

    async def remove(self, tenant_id: str, model_id: str, alias: str, moved_by: str) -> Model:
        """Takes an alias away. Raises AliasNotFound."""
        check_alias(alias)
        move = NewMove(move_id=self._make_id("move"), alias=alias, version=0, moved_by=moved_by)
        return await self._store.move(tenant_id, model_id, move)

    # ------------------------------------------------------------------ what new versions ask for
    async def settle_soon(self, model_id: str) -> None:
        """Decides what versions of a model ask for. What cannot be decided now, the loop does later."""
        with suppress(TimeoutError, AutomationError):
            async with asyncio.timeout(SOON_S):
                await self.settle_due(model_id=model_id)

    async def settle_due(self, *, limit: int = 20, model_id: str = "") -> int:
        """Decides requests that wait; returns how many. One that cannot be decided now is tried again later."""
        taken = await self._requests.take(limit=limit, hold_for=HOLD_FOR, model_id=model_id)
        for request in taken:
            if await self._settled(request):
                await self._requests.settle(request)
        return len(taken)

    async def _settled(self, request: AliasRequest) -> bool:
        asked = Move(
            tenant_id=request.tenant_id,
            model_id=request.model_id,
            alias=request.alias,
            version=request.version,
            moved_by=request.requested_by,
        )
        try:
            await self.move(asked)
        except (GatesNotPassed, VersionNotFound, ValidationError):
            return True
        except AutomationError:
            return request.tries >= MAX_REQUEST_TRIES
        return True

    # ------------------------------------------------------------------ gates
    async def _judge(self, model: Model, candidate: ModelVersion, alias: str) -> Verdict:
        basis = Basis.of(model, alias)
        holders = {name: await self._holder(model, version) for name, version in basis.holders.items()}
        results = [await self._result(gate, alias, candidate, holders) for gate in basis.gates.gates]
        return Verdict(basis=basis, results=tuple(results))

    async def _holder(self, model: Model, version: int) -> ModelVersion | None:
        return await self._store.version(model.tenant_id, model.model_id, version) if version else None

    async def _result(
        self, gate: Gate, alias: str, candidate: ModelVersion, holders: dict[str, ModelVersion | None]
    ) -> GateResult:
        metrics = candidate.content.metrics
        match gate:
            case MetricGate():
                return rules.by_metric(gate, metrics)
            case ComparisonGate():
                against = gate.alias or alias
                return rules.by_comparison(gate, against, metrics, _as_holder(holders.get(against)))
            case SizeGate():
                return rules.by_size(gate, candidate.served_size)
            case LatencyGate():
                return rules.by_latency(gate, await self._keeper.latency(candidate))
            case DriftGate():
                return rules.by_drift(gate, alias, await self._keeper.drift(candidate, holders.get(alias)))

    def _new(self, asked: Move, verdict: Verdict) -> NewMove:
        return NewMove(
            move_id=self._make_id("move"),
            alias=asked.alias,
            version=asked.version,
            moved_by=asked.moved_by,
            results=verdict.results,
            override_reason="" if verdict.passed else asked.override_reason.strip(),
            basis=verdict.basis,
        )


def _as_holder(version: ModelVersion | None) -> Holder | None:
    return Holder(version.version, version.content.metrics) if version else None


def _check_room(model: Model, alias: str) -> None:
    if alias not in model.aliases and len(model.aliases) >= MAX_ALIASES:
        raise ValidationError(f"a model has at most {MAX_ALIASES} aliases: remove one first", field="alias")


def _not_passed(asked: Move, verdict: Verdict) -> GatesNotPassed:
    return GatesNotPassed(
        f"version {asked.version} of model {asked.model_id} may not become {asked.alias}: {verdict.why_not()}",
        modelId=asked.model_id,
        version=asked.version,
        alias=asked.alias,
    )
