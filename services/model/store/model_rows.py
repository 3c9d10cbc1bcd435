"""Rows of models, versions and moves, both ways. NaN and infinities are texts inside of JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from automesh.storage.postgres import Record
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
from services.model.domain.registry.model import Model, ModelText, ServingOptions
from services.model.domain.registry.moves import AliasMove, AliasRequest
from services.model.domain.registry.version import ModelFile, ModelVersion, NewVersion

_GATES: Mapping[str, type[Gate]] = {
    "metric": MetricGate,
    "not_worse": ComparisonGate,
    "latency": LatencyGate,
    "size": SizeGate,
    "drift": DriftGate,
}
_KINDS = {kind: name for name, kind in _GATES.items()}


def to_json(content: Any) -> str:
    """JSON text; numbers that JSON lacks become null."""
    return orjson.dumps(content).decode()


def model(row: Record, aliases: Mapping[str, int]) -> Model:
    """The model of a whole row and its aliases."""
    return Model(
        model_id=row["model_id"],
        tenant_id=row["tenant_id"],
        text=ModelText(
            name=row["name"],
            description=row["description"],
            tags=orjson.loads(row["tags"]),
            gates=tuple(_alias_gates(each) for each in orjson.loads(row["gates"])),
            serving=ServingOptions(
                max_batch_size=row["max_batch_size"], max_delay_us=row["max_delay_us"], max_queue=row["max_queue"]
            ),
        ),
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        aliases=aliases,
        latest_version=row["latest_version"],
    )


def text(content: ModelText) -> tuple[object, ...]:
    """name, description, tags, gates, max_batch_size, max_delay_us, max_queue."""
    serving = content.serving
    return (
        content.name,
        content.description,
        to_json(dict(content.tags)),
        to_json([_gates_json(each) for each in content.gates]),
        serving.max_batch_size,
        serving.max_delay_us,
        serving.max_queue,
    )


def version(row: Record, aliases: Sequence[str]) -> ModelVersion:
    """The version of a whole row."""
    content = NewVersion(
        metrics={name: float(value) for name, value in orjson.loads(row["metrics"]).items()},
        signature=orjson.loads(row["signature"]),
        size=row["size"],
        parameters=row["parameters"],
        digest=row["digest"],
        files=tuple(ModelFile(**each) for each in orjson.loads(row["files"])),
        spec=orjson.loads(row["spec"]),
        card=orjson.loads(row["card"]),
        data_id=row["data_id"],
        data_version=row["data_version"],
        created_by=row["created_by"],
    )
    return ModelVersion(
        tenant_id=row["tenant_id"],
        model_id=row["model_id"],
        version=row["version"],
        run_id=row["run_id"],
        content=content,
        created_at=row["created_at"],
        aliases=tuple(sorted(aliases)),
    )


def content(new: NewVersion) -> tuple[object, ...]:
    """metrics, signature, size, parameters, digest, files, card, spec, data_id, data_version, created_by."""
    return (
        to_json({name: _number(value) for name, value in new.metrics.items()}),
        to_json(new.signature),
        new.size,
        new.parameters,
        new.digest,
        to_json([_file_json(each) for each in new.files]),
        to_json(new.card),
        to_json(new.spec),
        new.data_id,
        new.data_version,
        new.created_by,
    )


def move(row: Record) -> AliasMove:
    """The move of a whole row."""
    return AliasMove(
        move_id=row["move_id"],
        alias=row["alias"],
        from_version=row["from_version"],
        to_version=row["to_version"],
        override_reason=row["override_reason"],
        results=tuple(_result(each) for each in orjson.loads(row["results"])),
        moved_by=row["moved_by"],
        moved_at=row["moved_at"],
    )


def results(found: Sequence[GateResult]) -> str:
    """Results as JSON."""
    return to_json(
        [
            {
                "gate": each.gate,
                "passed": each.passed,
                "value": _number(each.value),
                "bound": _number(each.bound),
                "message": each.message,
            }
            for each in found
        ]
    )


def request(row: Record) -> AliasRequest:
    """The request of a whole row."""
    return AliasRequest(
        tenant_id=row["tenant_id"],
        model_id=row["model_id"],
        version=row["version"],
        alias=row["alias"],
        requested_by=row["requested_by"],
        tries=row["tries"],
    )


def _result(found: Mapping[str, Any]) -> GateResult:
    return GateResult(
        found["gate"], found["passed"], float(found["value"]), float(found["bound"]), found.get("message", "")
    )


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _file_json(file: ModelFile) -> dict[str, object]:
    return {name: getattr(file, name) for name in ("name", "content_type", "size", "sha256", "blob")}


def _gates_json(gates: AliasGates) -> dict[str, object]:
    return {"alias": gates.alias, "gates": [_gate_json(each) for each in gates.gates]}


def _gate_json(gate: Gate) -> dict[str, object]:
    fields = {name: getattr(gate, name) for name in type(gate).__dataclass_fields__}
    return {"kind": _KINDS[type(gate)], **fields}


def _alias_gates(found: Mapping[str, Any]) -> AliasGates:
    return AliasGates(found["alias"], tuple(_gate(each) for each in found["gates"]))


def _gate(found: Mapping[str, Any]) -> Gate:
    return _GATES[found["kind"]](**{name: value for name, value in found.items() if name != "kind"})
