"""What other systems are told of runs. Pure."""

from __future__ import annotations

import math

from services.model.domain.runs.run import Run, RunState
from services.model.domain.webhooks.events import RUN_COMPLETED, RUN_FAILED, Event


def ended(before: Run, after: Run) -> Event | None:
    """The event of a change, where the run completed or failed by it."""
    if after.state is before.state:
        return None
    about = {"run_id": after.run_id, "model_id": after.model_id, "sweep_id": after.sweep_id}
    if after.state is RunState.COMPLETED:
        metrics = {name: each.value for name, each in after.metrics.items() if math.isfinite(each.value)}
        return Event(RUN_COMPLETED, {**about, "version": after.model_version, "metrics": metrics})
    if after.state is RunState.FAILED and after.failure is not None:
        return Event(RUN_FAILED, {**about, "reason": after.failure.reason, "message": after.failure.message})
    return None
