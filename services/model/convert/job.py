"""job.json of the trainer: what `python -m services.model.trainer` is to do."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from services.model.convert.spec import training_spec_json
from services.model.domain.runs.claims import Claimed

DATA, CHECKPOINT = "data/manifest.json", "checkpoint"
"""Below the folder `in/` of the job."""


def job(claimed: Claimed) -> bytes:
    """The content of job.json."""
    run = claimed.run
    spec = training_spec_json(run.spec)
    resources = run.spec.resources
    content: dict[str, Any] = {
        "run_id": run.run_id,
        "spec": spec,
        "data": DATA,
        "checkpoint": CHECKPOINT if claimed.checkpoint else None,
        "device": claimed.device,
        "processes": resources.processes,
        "threads": resources.threads,
        "scratch": "out",
        "digests": {"config": hashlib.sha256(orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)).hexdigest()},
        "rendezvous": _rendezvous(claimed),
    }
    return orjson.dumps(content)


def _rendezvous(claimed: Claimed) -> dict[str, Any] | None:
    meeting = claimed.rendezvous
    if meeting is None:
        return None
    return {"endpoint": meeting.endpoint, "id": meeting.id, "nodes": meeting.nodes, "host_here": meeting.here}
