"""Aliases move when their gates pass, with a reason when not, and never on old ground."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automesh.core.errors import Unavailable, ValidationError
from automesh.core.ids import new_id
from services.model.domain.registry.drift import ColumnShape
from services.model.domain.registry.errors import AliasRaced, GatesNotPassed
from services.model.domain.registry.gates import (
    AliasGates,
    ComparisonGate,
    DriftGate,
    Gate,
    LatencyGate,
    MetricGate,
    SizeGate,
)
from services.model.domain.registry.measuring import Measurer
from services.model.domain.registry.model import Model, ModelText
from services.model.domain.registry.moves import NewMove
from services.model.domain.registry.promotion import HOLD_FOR, MAX_REQUEST_TRIES, TRIES, Move, Promotion
from services.model.domain.registry.version import ModelFile, NewVersion
from services.model.fakes.model_store import FakeModelStore

TENANT = "acme"
DIGEST = "ab" * 32


@dataclass
class Probe:
    """Answers with a latency, or fails."""

    p99: float = 2.0
    error: Exception | None = None

    async def p99_ms(self, tenant_id: str, model_id: str, version: int) -> float:
        if self.error is not None:
            raise self.error
        return self.p99


@dataclass
class Statistics:
    """Columns by dataset version."""

    columns_of: dict[int, Mapping[str, ColumnShape]] = field(default_factory=dict)
    error: Exception | None = None

    async def columns(self, tenant_id: str, data_id: str, version: int) -> Mapping[str, ColumnShape]:
        if self.error is not None:
            raise self.error
        return self.columns_of[version]


class House:
    """A promotion over fakes, and a model called "prices"."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.store = FakeModelStore(lambda: self.now)
        self.probe, self.statistics = Probe(), Statistics()
        self.promotion = self.over(self.store)
        self.model_id = ""

    def over(self, store: FakeModelStore, *, probe: bool = True) -> Promotion:
        keeper = Measurer(self.probe if probe else None, self.statistics)
        return Promotion(store, self.store, keeper, make_id=new_id)

    async def gated(
        self,
        *gates: Gate,
        alias: str = "champion",
        versions: list[dict[str, Any]] | None = None,
        asks: Sequence[str] = (),
    ) -> None:
        """A model whose versions ask for aliases."""
        text = ModelText(name="prices", gates=(AliasGates(alias, gates),))
        self.model_id = (await self.store.create(new_id("model"), TENANT, text, "user_1")).model_id
        for fields in versions or [{}, {}]:
            plain: dict[str, Any] = {
                "metrics": {"val/loss": 0.2},
                "signature": {"features": ["a"]},
                "size": 100,
                "parameters": 1,
                "digest": DIGEST,
                "files": (),
                "spec": {},
                "data_id": "data_1",
                "data_version": 1,
            }
            await self.store.add_version(TENANT, self.model_id, new_id("run"), NewVersion(**(plain | fields)), asks)

    async def move(self, version: int, *, alias: str = "champion", reason: str = "") -> Model:
        return (await self.promotion.move(self.asked(version, alias=alias, reason=reason)))[0]

    def asked(self, version: int, *, alias: str = "champion", reason: str = "") -> Move:
        return Move(
            tenant_id=TENANT,
            model_id=self.model_id,
            alias=alias,
            version=version,
            moved_by="user_1",
            override_reason=reason,
        )

    async def aliases(self) -> Mapping[str, int]:
        return (await self.store.get(TENANT, self.model_id)).aliases

    async def moves(self) -> list[Any]:
        return list(await self.store.moves(TENANT, self.model_id, limit=50, before=None))


@pytest.fixture
def house() -> House:
    return House()


async def test_an_alias_moves_when_all_gates_pass_and_the_results_are_recorded(house: House) -> None:
    await house.gated(MetricGate("val/loss", "<=", 0.5), SizeGate(1000), LatencyGate(5), DriftGate())
    model = await house.move(1)
    assert model.aliases == {"champion": 1}
    [move] = await house.moves()
    assert [result.passed for result in move.results] == [True] * 4
    assert move.override_reason == ""


async def test_a_failed_gate_refuses_and_says_what_was_measured(house: House) -> None:
    await house.gated(MetricGate("val/loss", "<=", 0.1), SizeGate(1000))
    with pytest.raises(GatesNotPassed, match=r"val/loss <= 0.1: measured 0.2, bound 0.1") as refused:
        await house.move(1)
    assert "size" not in refused.value.message
    assert (await house.aliases(), await house.moves()) == ({}, [])


async def test_a_reason_overrides_and_is_recorded_only_where_it_was_needed(house: House) -> None:
    await house.gated(MetricGate("val/loss", "<=", 0.1), versions=[{}, {"metrics": {"val/loss": 0.05}}])
    await house.move(1, reason=" we measure it by hand ")
    await house.move(2, reason="not needed")
    second, first = sorted(await house.moves(), key=lambda move: -move.to_version)
    assert (first.override_reason, first.results[0].passed) == ("we measure it by hand", False)
    assert (second.override_reason, second.results[0].passed) == ("", True)


async def test_a_blank_reason_overrides_nothing(house: House) -> None:
    await house.gated(MetricGate("val/loss", "<=", 0.1))
    with pytest.raises(GatesNotPassed):
        await house.move(1, reason="   ")


async def test_a_version_is_compared_with_the_holder_of_the_alias_it_wants_or_of_another(house: House) -> None:
    losses = [{"metrics": {"val/loss": value}} for value in (0.20, 0.22, 0.20)]
    await house.gated(ComparisonGate("val/loss", "", 5), versions=losses)
    await house.move(1)
    with pytest.raises(GatesNotPassed, match="champion"):
        await house.move(2)
    await house.move(3)
    verdict = await house.promotion.check(TENANT, house.model_id, 2, "champion")
    assert not verdict.passed
    assert verdict.results[0].bound == pytest.approx(0.21)
    assert (await house.promotion.check(TENANT, house.model_id, 2, "candidate")).passed  # no gates there


async def test_setting_an_alias_where_it_stands_is_no_move_even_if_gates_fail_now(house: House) -> None:
    await house.gated(MetricGate("val/loss", "<=", 0.1))
    await house.move(1, reason="first")
    model, results = await house.promotion.move(house.asked(1))
    assert (model.aliases, results[0].passed, len(await house.moves())) == ({"champion": 1}, False, 1)


async def test_a_removed_alias_is_a_move_to_nowhere(house: House) -> None:
    await house.gated()
    await house.move(1)
    model = await house.promotion.remove(TENANT, house.model_id, "champion", "user_2")
    removed = next(move for move in await house.moves() if move.to_version == 0)
    assert (model.aliases, removed.from_version, removed.moved_by) == ({}, 1, "user_2")


async def test_what_is_served_counts_for_the_size(house: House) -> None:
    onnx = ModelFile(name="model.onnx", content_type="", size=5000, sha256=DIGEST, blob="b")
    await house.gated(SizeGate(1000), versions=[{"files": (onnx,)}])
    [result] = (await house.promotion.check(TENANT, house.model_id, 1, "champion")).results
    assert (result.passed, result.value) == (False, 5000)


# ---------------------------------------------------------------------- what cannot be measured
async def test_a_latency_that_cannot_be_measured_does_not_pass_and_says_why(house: House) -> None:
    await house.gated(LatencyGate(5))
    house.probe.error = Unavailable("no file model.onnx")
    [result] = (await house.promotion.check(TENANT, house.model_id, 1, "champion")).results
    assert (result.passed, result.message) == (False, "no file model.onnx")
    assert math.isnan(result.value)
    nowhere = house.over(house.store, probe=False)
    [result] = (await nowhere.check(TENANT, house.model_id, 1, "champion")).results
    assert (result.passed, "serves no models" in result.message) == (False, True)


async def test_a_measurement_that_hangs_ends_with_the_limit(house: House) -> None:
    class Hanging(Probe):
        async def p99_ms(self, tenant_id: str, model_id: str, version: int) -> float:
            await asyncio.Event().wait()
            return 0.0

    await house.gated(LatencyGate(5))
    version = await house.store.version(TENANT, house.model_id, 1)
    measured = await Measurer(Hanging(), house.statistics, limit_s=0.01).latency(version)
    assert (math.isnan(measured.value), measured.message) == (True, "measuring took longer than 0.01 s")


async def test_drift_is_measured_against_the_data_of_the_holder(house: House) -> None:
    data = [{"data_version": number} for number in (1, 2, 1)]
    await house.gated(DriftGate(), versions=data)
    house.statistics.columns_of = {
        1: {"a": ColumnShape(edges=(0.0, 1.0, 2.0), counts=(50, 50), rows=100)},
        2: {"a": ColumnShape(edges=(0.0, 1.0, 2.0), counts=(95, 5), rows=100)},
    }
    await house.move(1)  # nothing held the alias
    with pytest.raises(GatesNotPassed, match="worst feature: a"):
        await house.move(2)
    await house.move(3)  # the same data
    house.statistics.error = Unavailable("the data service is away")
    [result] = (await house.promotion.check(TENANT, house.model_id, 2, "champion")).results
    assert (result.passed, result.message) == (False, "the data service is away")


# ---------------------------------------------------------------------- races
class RacingStore(FakeModelStore):
    """Before each of the first `races` moves somebody else moves the alias."""

    races = 0
    losses = (0.2, 0.1)

    async def move(self, tenant_id: str, model_id: str, move: NewMove) -> Model:
        if self.races:
            self.races -= 1
            held = (await self.get(tenant_id, model_id)).aliases.get(move.alias, 0)
            other = NewMove(move_id=new_id("move"), alias=move.alias, version=2 if held == 3 else 3, moved_by="other")
            await super().move(tenant_id, model_id, other)
        return await super().move(tenant_id, model_id, move)


async def raced(house: House, races: int) -> Promotion:
    store = RacingStore(lambda: house.now)
    house.store = store
    losses = [{"metrics": {"val/loss": value}} for value in (0.30, 0.10, 0.30)]
    await house.gated(ComparisonGate("val/loss", "", 5), versions=losses)
    store.races = races
    return house.over(store)


async def test_a_move_that_raced_is_decided_again_on_the_new_ground(house: House) -> None:
    promotion = await raced(house, 1)  # version 3 takes the alias: as good as version 1
    await promotion.move(house.asked(1))
    assert (await house.aliases())["champion"] == 1
    promotion = await raced(house, 2)  # version 3, then 2 take it: 2 is better than 1
    with pytest.raises(GatesNotPassed):
        await promotion.move(house.asked(1))
    assert (await house.aliases())["champion"] == 2


async def test_a_move_that_always_races_gives_up(house: House) -> None:
    promotion = await raced(house, TRIES)
    with pytest.raises(AliasRaced):
        await promotion.move(house.asked(1, reason="whatever the gates say"))


# ---------------------------------------------------------------------- requests
async def test_aliases_that_a_version_asks_for_move_each_for_itself(house: House) -> None:
    asking = [{"created_by": "user_9"}]
    await house.gated(MetricGate("val/loss", "<=", 0.1), versions=asking, asks=["champion", "candidate"])
    await house.promotion.settle_soon(house.model_id)
    assert await house.aliases() == {"candidate": 1}
    assert [move.moved_by for move in await house.moves()] == ["user_9"]
    assert await house.promotion.settle_due() == 0  # the refused one is not asked again


class FlakyStore(FakeModelStore):
    """Its moves fail while it is away."""

    away = True

    async def move(self, tenant_id: str, model_id: str, move: NewMove) -> Model:
        if self.away:
            raise Unavailable("the database is away")
        return await super().move(tenant_id, model_id, move)


async def flaky(house: House) -> Promotion:
    house.store = FlakyStore(lambda: house.now)
    promotion = house.over(house.store)
    await house.gated(versions=[{}], asks=["champion"])
    await promotion.settle_soon(house.model_id)
    assert await house.aliases() == {}
    return promotion


async def test_what_cannot_be_decided_now_is_decided_later(house: House) -> None:
    promotion = await flaky(house)
    assert await promotion.settle_due() == 0  # it is held for a while
    house.now += HOLD_FOR + timedelta(seconds=1)
    house.store.away = False  # type: ignore[attr-defined] # a FlakyStore
    assert await promotion.settle_due() == 1
    assert await house.aliases() == {"champion": 1}


async def test_what_can_never_be_decided_is_given_up(house: House) -> None:
    promotion = await flaky(house)
    rounds = 1
    while house.now < datetime(2026, 2, 1, tzinfo=UTC):
        house.now += HOLD_FOR + timedelta(seconds=1)
        rounds += await promotion.settle_due()
    assert rounds == MAX_REQUEST_TRIES


@pytest.mark.parametrize(
    ("alias", "version"), [("Champion", 1), ("", 1), ("-x", 1), ("x" * 41, 1), ("7", 1), ("champion", 0)]
)
def test_a_move_that_makes_no_sense_is_refused(house: House, alias: str, version: int) -> None:
    with pytest.raises(ValidationError):
        house.asked(version, alias=alias)
