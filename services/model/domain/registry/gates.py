"""The gates in front of an alias: what each asks, how it is measured, and what came of it. Pure.

Nothing that could not be measured passes, and NaN never does.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from automesh.core.errors import ValidationError

MAX_GATES = 20
MAX_METRIC = 100
DEFAULT_PSI = 0.2
MIB = 1024 * 1024
_COMPARATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class MetricGate:
    """A bound on a metric of the candidate."""

    metric: str
    comparator: str
    threshold: float

    def __post_init__(self) -> None:
        _check_metric(self.metric)
        if self.comparator not in _COMPARATORS:
            raise ValidationError(
                f"comparator {self.comparator[:20]!r} is not one of {' '.join(_COMPARATORS)}", field="gates.comparator"
            )
        _check_number("threshold", self.threshold)


@dataclass(frozen=True, slots=True)
class ComparisonGate:
    """Not worse than the holder of `alias` by more than `max_percent`; an empty alias is the one to be moved."""

    metric: str
    alias: str = ""
    max_percent: float = 0.0
    higher_is_better: bool = False

    def __post_init__(self) -> None:
        _check_metric(self.metric)
        _check_number("max_percent", self.max_percent, least=0)


@dataclass(frozen=True, slots=True)
class LatencyGate:
    """A bound in milliseconds on the 99 % quantile of one prediction."""

    max_ms: float

    def __post_init__(self) -> None:
        _check_number("max_ms", self.max_ms, least=0)


@dataclass(frozen=True, slots=True)
class SizeGate:
    """A bound in bytes on the served file."""

    max_bytes: int

    def __post_init__(self) -> None:
        _check_number("max_bytes", self.max_bytes, least=0)


@dataclass(frozen=True, slots=True)
class DriftGate:
    """A bound on the population stability index of the worst feature; 0 means DEFAULT_PSI."""

    max_psi: float = 0.0

    def __post_init__(self) -> None:
        _check_number("max_psi", self.max_psi, least=0)

    @property
    def bound(self) -> float:
        """The bound in force."""
        return self.max_psi or DEFAULT_PSI


Gate: TypeAlias = MetricGate | ComparisonGate | LatencyGate | SizeGate | DriftGate


@dataclass(frozen=True, slots=True)
class AliasGates:
    """All that must pass before `alias` moves."""

    alias: str
    gates: tuple[Gate, ...] = ()

    def __post_init__(self) -> None:
        if len(self.gates) > MAX_GATES:
            raise ValidationError(
                f"{len(self.gates)} gates before {self.alias!r} are more than {MAX_GATES}", field="model.gates"
            )


@dataclass(frozen=True, slots=True)
class GateResult:
    """What came of a gate. `value` is NaN when it could not be measured; `message` then says why."""

    gate: str
    passed: bool
    value: float
    bound: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """The version that holds an alias now, and its metrics."""

    version: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """Something measured outside: a value, or the reason why there is none."""

    value: float = math.nan
    message: str = ""


def by_metric(gate: MetricGate, metrics: Mapping[str, float]) -> GateResult:
    """Holds the candidate's metric against a fixed bound."""
    name = f"{gate.metric} {gate.comparator} {gate.threshold:g}"
    value, why = _metric(metrics, gate.metric, "the version")
    passed = not why and _COMPARATORS[gate.comparator](value, gate.threshold)
    return GateResult(name, passed, value, gate.threshold, why)


def by_comparison(gate: ComparisonGate, alias: str, metrics: Mapping[str, float], holder: Holder | None) -> GateResult:
    """Holds the candidate's metric against that of the holder of `alias`.

    The room is `max_percent` of the holder's absolute value: a negative metric gets room in the right direction, and
    one of zero gets none.
    """
    name = f"{gate.metric} not worse than {alias} by more than {gate.max_percent:g} %"
    value, why = _metric(metrics, gate.metric, "the version")
    if why:
        return GateResult(name, False, value, math.nan, why)
    if holder is None:
        return GateResult(name, True, value, math.nan, f"nothing holds {alias} yet")
    theirs, why = _metric(holder.metrics, gate.metric, f"version {holder.version}, which holds {alias},")
    if why:
        return GateResult(name, False, value, math.nan, why)
    room = abs(theirs) * gate.max_percent / 100 if math.isfinite(theirs) else 0.0
    bound = theirs - room if gate.higher_is_better else theirs + room
    passed = value >= bound if gate.higher_is_better else value <= bound
    return GateResult(name, passed, value, bound)


def by_size(gate: SizeGate, size: int) -> GateResult:
    """Holds the bytes of the served file against the bound."""
    name = f"size <= {gate.max_bytes} bytes ({gate.max_bytes / MIB:.4g} MiB)"
    return GateResult(name, size <= gate.max_bytes, size, gate.max_bytes)


def by_latency(gate: LatencyGate, measured: Measured) -> GateResult:
    """Holds a measured p99 in milliseconds against the bound."""
    return _upper(f"p99 latency <= {gate.max_ms:g} ms", measured, gate.max_ms)


def by_drift(gate: DriftGate, alias: str, measured: Measured) -> GateResult:
    """Holds a measured population stability index against the bound."""
    return _upper(f"drift from the data of {alias} (PSI) <= {gate.bound:g}", measured, gate.bound)


def _upper(name: str, measured: Measured, bound: float) -> GateResult:
    passed = not math.isnan(measured.value) and measured.value <= bound
    unmeasured = math.isnan(measured.value) and not measured.message
    return GateResult(
        name, passed, measured.value, bound, "what was measured is not a number" if unmeasured else measured.message
    )


def _metric(metrics: Mapping[str, float], name: str, whose: str) -> tuple[float, str]:
    """The value, and why there is none."""
    if name not in metrics:
        known = ", ".join(sorted(metrics)[:20]) or "none"
        return math.nan, f"{whose} has no metric {name}; it has {known}"
    value = metrics[name]
    return value, f"{name} of {whose.rstrip(',')} is NaN, which never passes" if math.isnan(value) else ""


def _check_metric(name: str) -> None:
    if not 1 <= len(name) <= MAX_METRIC or not name.isprintable():
        raise ValidationError(
            f"a gate needs the name of a metric, such as val/loss, of at most {MAX_METRIC} characters",
            field="gates.metric",
        )


def _check_number(field: str, value: float, *, least: float = -math.inf) -> None:
    if not math.isfinite(value) or value < least:
        told = "a finite number" if least == -math.inf else f"a finite number of at least {least:g}"
        raise ValidationError(f"{field} is {value}, not {told}", field=f"gates.{field}")
