"""The two tables that Triton adds to the protocol: what the repository holds, and what predictions took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.model.domain.serving.versions import ServedVersion
from services.model.serving import protocol
from services.model.serving.loaded import LoadedVersion
from services.model.serving.model_pool import ModelPool
from services.model.serving.statistics import Spent


def index_of(listed: Sequence[ServedVersion], pool: ModelPool, *, only_ready: bool) -> Any:
    """A RepositoryIndexResponse. A version that is not in memory is ready too: its first request loads it."""
    response = protocol.message("RepositoryIndexResponse")()
    for served in listed:
        taken_out = pool.is_taken_out(served)
        if taken_out and only_ready:
            continue
        response.models.add(
            name=served.name,
            version=str(served.version),
            state="UNAVAILABLE" if taken_out else "READY",
            reason="unloaded" if taken_out else "",
        )
    return response


def statistics_of(loaded: LoadedVersion) -> Any:
    """A ModelStatistics message."""
    held = loaded.statistics
    stats = protocol.message("ModelStatistics")(
        name=loaded.served.name,
        version=str(loaded.served.version),
        last_inference=int(held.last_at.timestamp() * 1000) if held.last_at else 0,
        inference_count=held.windows,
        execution_count=held.executions,
    )
    for name, spent in (
        ("success", held.success),
        ("fail", held.fail),
        ("queue", held.queue),
        ("compute_infer", held.compute),
    ):
        _fill(getattr(stats.inference_stats, name), spent)
    for size, spent in sorted(held.batches.items()):
        _fill(stats.batch_stats.add(batch_size=size).compute_infer, spent)
    return stats


def _fill(duration: Any, spent: Spent) -> None:
    duration.count, duration.ns = spent.count, spent.ns
