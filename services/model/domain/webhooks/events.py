"""What other systems are told about: the events of the registry and of runs, and their bodies. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from services.model.domain.registry.model import Model
from services.model.domain.registry.moves import AliasMove
from services.model.domain.registry.version import ModelVersion

VERSION_CREATED, ALIAS_MOVED, MODEL_DELETED = "model.version_created", "model.alias_moved", "model.deleted"
RUN_COMPLETED, RUN_FAILED = "run.completed", "run.failed"
TEST = "webhook.test"
KINDS = (VERSION_CREATED, ALIAS_MOVED, MODEL_DELETED, RUN_COMPLETED, RUN_FAILED)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: its kind, and what of it is told."""

    kind: str
    data: Mapping[str, Any]

    def body(self, now: datetime) -> bytes:
        """The body of a delivery, as Standard Webhooks has it. Numbers that JSON lacks become null."""
        return orjson.dumps({"type": self.kind, "timestamp": now.isoformat(), "data": self.data})


def version_created(model: Model, version: ModelVersion) -> Event:
    """A run gave the model another version."""
    content = version.content
    return Event(
        VERSION_CREATED,
        {
            "model_id": model.model_id,
            "name": model.text.name,
            "version": version.version,
            "run_id": version.run_id,
            "metrics": {name: value if math.isfinite(value) else None for name, value in content.metrics.items()},
            "digest": content.digest,
        },
    )


def alias_moved(model: Model, move: AliasMove) -> Event:
    """An alias points elsewhere now; version 0 is nowhere."""
    return Event(
        ALIAS_MOVED,
        {
            "model_id": model.model_id,
            "name": model.text.name,
            "alias": move.alias,
            "from_version": move.from_version,
            "to_version": move.to_version,
            "override_reason": move.override_reason,
            "moved_by": move.moved_by,
        },
    )


def model_deleted(model: Model) -> Event:
    """The model is gone, with all that belonged to it."""
    return Event(MODEL_DELETED, {"model_id": model.model_id, "name": model.text.name})


def tested(webhook_id: str) -> Event:
    """Somebody tries the webhook out."""
    return Event(TEST, {"webhook_id": webhook_id})
