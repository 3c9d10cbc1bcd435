"""Gates: what passes, what does not, and what is told."""

import math
from collections.abc import Callable

import pytest

from automesh.core.errors import ValidationError
from services.model.domain.registry import gates
from services.model.domain.registry.gates import (
    AliasGates,
    ComparisonGate,
    DriftGate,
    Holder,
    LatencyGate,
    Measured,
    MetricGate,
    SizeGate,
)

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("comparator", "value", "passes"),
    [
        ("<", 0.19, True),
        ("<", 0.2, False),
        ("<=", 0.2, True),
        ("<=", 0.2000001, False),
        (">", 0.2, False),
        (">", 0.21, True),
        (">=", 0.2, True),
        (">=", 0.19, False),
        ("<=", -INF, True),
        (">=", INF, True),
        ("<", NAN, False),
        ("<=", NAN, False),
        (">", NAN, False),
        (">=", NAN, False),
    ],
)
def test_a_metric_is_held_against_a_bound(comparator: str, value: float, passes: bool) -> None:
    result = gates.by_metric(MetricGate("val/loss", comparator, 0.2), {"val/loss": value})
    assert result.passed is passes
    assert result.gate == f"val/loss {comparator} 0.2"
    assert result.bound == 0.2
    assert result.value == value or (math.isnan(result.value) and math.isnan(value))


def test_a_metric_that_is_missing_does_not_pass_and_those_there_are_are_named() -> None:
    result = gates.by_metric(MetricGate("val/lose", "<", 1), {"val/loss": 0.1, "lr": 1.0})
    assert (result.passed, result.message) == (False, "the version has no metric val/lose; it has lr, val/loss")
    assert math.isnan(result.value)


@pytest.mark.parametrize(
    ("theirs", "ours", "percent", "higher", "passes"),
    [
        # Loss: less is better.
        (0.20, 0.21, 5, False, True),
        (0.20, 0.2101, 5, False, False),
        (0.20, 0.10, 5, False, True),
        (0.20, 0.20, 0, False, True),
        (0.20, 0.2000001, 0, False, False),
        # Accuracy: more is better.
        (0.80, 0.76, 5, True, True),
        (0.80, 0.7599, 5, True, False),
        (0.80, 0.99, 0, True, True),
        # Negative values (a log likelihood): the room is on the worse side.
        (-10.0, -9.5, 5, False, True),
        (-10.0, -9.4, 5, False, False),
        (-10.0, -12.0, 5, False, True),
        (-10.0, -10.5, 5, True, True),
        (-10.0, -10.6, 5, True, False),
        # Zero leaves no room, whatever the percent.
        (0.0, 0.0, 50, False, True),
        (0.0, 0.0001, 50, False, False),
        (0.0, -0.0001, 50, False, True),
        (0.0, -0.0001, 50, True, False),
        # What is not a number never passes, on either side.
        (0.20, NAN, 5, False, False),
        (NAN, 0.20, 5, False, False),
        (NAN, NAN, 5, True, False),
        # A holder that is infinitely bad is beaten by anything.
        (INF, 5.0, 0, False, True),
    ],
)
def test_a_version_is_held_against_the_holder(
    theirs: float, ours: float, percent: float, higher: bool, passes: bool
) -> None:
    gate = ComparisonGate("m", "champion", percent, higher)
    result = gates.by_comparison(gate, "champion", {"m": ours}, Holder(3, {"m": theirs}))
    assert result.passed is passes
    assert result.gate == f"m not worse than champion by more than {percent:g} %"


def test_the_bound_of_a_comparison_is_what_the_holder_allows() -> None:
    result = gates.by_comparison(ComparisonGate("m", "", 10), "champion", {"m": 0.5}, Holder(3, {"m": 0.2}))
    assert (result.passed, result.value) == (False, 0.5)
    assert result.bound == pytest.approx(0.22)


def test_a_comparison_passes_while_nobody_holds_the_alias_unless_the_metric_is_not_a_number() -> None:
    gate = ComparisonGate("m", "champion", 5)
    assert gates.by_comparison(gate, "champion", {"m": 9.0}, None).passed
    assert not gates.by_comparison(gate, "champion", {"m": NAN}, None).passed
    assert not gates.by_comparison(gate, "champion", {}, None).passed


def test_a_holder_without_the_metric_is_told() -> None:
    result = gates.by_comparison(ComparisonGate("m", "", 5), "champion", {"m": 1.0}, Holder(3, {"n": 1.0}))
    assert (result.passed, result.message) == (
        False,
        "version 3, which holds champion, has no metric m; it has n",
    )


@pytest.mark.parametrize(("size", "passes"), [(0, True), (1000, True), (1001, False)])
def test_a_size_is_held_against_a_bound(size: int, passes: bool) -> None:
    result = gates.by_size(SizeGate(1000), size)
    assert (result.passed, result.value, result.bound) == (passes, size, 1000)


@pytest.mark.parametrize(
    ("measured", "passes"),
    [
        (Measured(3.0), True),
        (Measured(3.5), True),
        (Measured(3.6), False),
        (Measured(NAN), False),
        (Measured(message="nothing serves here"), False),
    ],
)
def test_a_latency_is_held_against_a_bound(measured: Measured, passes: bool) -> None:
    result = gates.by_latency(LatencyGate(3.5), measured)
    assert (result.passed, result.gate) == (passes, "p99 latency <= 3.5 ms")
    assert bool(result.message) is math.isnan(measured.value)


def test_a_drift_gate_without_a_bound_has_the_usual_one() -> None:
    assert gates.by_drift(DriftGate(), "champion", Measured(0.2, "worst feature: a")).passed
    result = gates.by_drift(DriftGate(), "champion", Measured(0.21, "worst feature: a"))
    assert (result.passed, result.bound, result.message) == (False, 0.2, "worst feature: a")
    assert gates.by_drift(DriftGate(0.5), "champion", Measured(0.21)).passed


@pytest.mark.parametrize(
    "make",
    [
        lambda: MetricGate("", "<", 1),
        lambda: MetricGate("m", "=", 1),
        lambda: MetricGate("m", "<", NAN),
        lambda: MetricGate("m" * 101, "<", 1),
        lambda: ComparisonGate("m", "", -1),
        lambda: ComparisonGate("m", "", INF),
        lambda: LatencyGate(-1),
        lambda: SizeGate(-1),
        lambda: DriftGate(-0.1),
        lambda: AliasGates("champion", (SizeGate(1),) * 21),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValidationError):
        make()
