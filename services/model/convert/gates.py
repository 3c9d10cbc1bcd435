"""Messages of gates and their results, and the domain."""

from __future__ import annotations

from collections.abc import Iterable

from automesh.core.errors import ValidationError
from automesh.model.v1 import model_pb2 as pb
from services.model.domain.registry.gates import (
    AliasGates,
    ComparisonGate,
    DriftGate,
    Gate,
    GateResult,
    LatencyGate,
    MetricGate,
    SizeGate,
)


def alias_gates(message: pb.AliasGates) -> AliasGates:
    """The gates in front of an alias. Raises ValidationError for one that says nothing."""
    return AliasGates(message.alias, tuple(_gate(each) for each in message.gates))


def alias_gates_message(gates: AliasGates) -> pb.AliasGates:
    """The other way."""
    return pb.AliasGates(alias=gates.alias, gates=[_gate_message(each) for each in gates.gates])


def results(found: Iterable[GateResult]) -> list[pb.GateResult]:
    """What came of gates."""
    return [
        pb.GateResult(gate=each.gate, passed=each.passed, value=each.value, bound=each.bound, message=each.message)
        for each in found
    ]


def _gate(message: pb.Gate) -> Gate:
    match message.WhichOneof("kind"):
        case "metric":
            return MetricGate(message.metric.metric, message.metric.comparator, message.metric.threshold)
        case "not_worse":
            told = message.not_worse
            return ComparisonGate(told.metric, told.alias, told.max_percent, told.higher_is_better)
        case "latency":
            return LatencyGate(message.latency.max_ms)
        case "size":
            return SizeGate(message.size.max_bytes)
        case "drift":
            return DriftGate(message.drift.max_psi)
        case _:
            raise ValidationError(
                "a gate sets one of metric, not_worse, latency, size, drift; this one sets none",
                field="model.gates.gates",
            )


def _gate_message(gate: Gate) -> pb.Gate:
    match gate:
        case MetricGate():
            told = pb.MetricGate(metric=gate.metric, comparator=gate.comparator, threshold=gate.threshold)
            return pb.Gate(metric=told)
        case ComparisonGate():
            return pb.Gate(
                not_worse=pb.ComparisonGate(
                    metric=gate.metric,
                    alias=gate.alias,
                    max_percent=gate.max_percent,
                    higher_is_better=gate.higher_is_better,
                )
            )
        case LatencyGate():
            return pb.Gate(latency=pb.LatencyGate(max_ms=gate.max_ms))
        case SizeGate():
            return pb.Gate(size=pb.SizeGate(max_bytes=gate.max_bytes))
        case DriftGate():
            return pb.Gate(drift=pb.DriftGate(max_psi=gate.max_psi))
