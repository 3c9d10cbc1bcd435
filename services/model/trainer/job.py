"""What job.json asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automesh.core.errors import ValidationError
from services.model.convert.spec import training_spec_json, training_spec_of_json
from services.model.domain.training.errors import JobUnreadable
from services.model.domain.training.spec import TrainingSpec

# What may differ between two attempts at the same training without making it another one.
_BESIDE_THE_POINT = ("model_id", "name", "description", "tags", "aliases", "resources", "checkpointing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendezvous:
    """Where the nodes of one training meet. `endpoint` is host:port; empty on a single node."""

    endpoint: str = ""
    id: str = ""
    nodes: int = 1
    restarts: int = 3
    host_here: bool = True
    """Whether this node opens the meeting; the first of all processes is then here, and speaks for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A training, with the folders it reads and writes."""

    folder: Path
    run_id: str
    spec: TrainingSpec
    manifest: Path
    checkpoint: Path | None = None
    device: str = "cpu"
    processes: int = 1
    threads: int = 1
    digests: Mapping[str, str] = field(default_factory=dict)
    rendezvous: Rendezvous = field(default_factory=Rendezvous)
    ray_address: str = ""

    @property
    def out(self) -> Path:
        """Where everything is written."""
        return self.folder / "out"

    @property
    def learning_digest(self) -> str:
        """SHA-256 over all that decides which weights come out: a checkpoint is good for this alone."""
        content = {k: v for k, v in training_spec_json(self.spec).items() if k not in _BESIDE_THE_POINT}
        content["optimization"].pop("epochs")  # a training that is resumed may be given more of them
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_job(folder: Path) -> Job:
    """The job of a folder. Raises JobUnreadable, or ValidationError for a bad spec."""
    try:
        content = json.loads((folder / "job.json").read_bytes())
        return _job(folder, content)
    except ValidationError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobUnreadable(f"{folder / 'job.json'} is not a training job: {type(error).__name__}: {error}") from error


def _job(folder: Path, content: Mapping[str, Any]) -> Job:
    spec = training_spec_of_json(content["spec"])
    meeting = content.get("rendezvous") or {}
    checkpoint = content.get("checkpoint")
    return Job(
        folder=folder,
        run_id=str(content.get("run_id", "")),
        spec=spec,
        manifest=folder / "in" / content["data"],
        checkpoint=folder / "in" / checkpoint if checkpoint else None,
        device=str(content.get("device") or "cpu"),
        processes=int(content.get("processes") or spec.resources.processes),
        threads=int(content.get("threads") or spec.resources.threads),
        digests=dict(content.get("digests") or {}),
        rendezvous=Rendezvous(
            endpoint=str(meeting.get("endpoint", "")),
            id=str(meeting.get("id", "")),
            nodes=int(meeting.get("nodes") or spec.resources.nodes),
            restarts=int(meeting.get("restarts", 3)),
            host_here=bool(meeting.get("host_here", True)),
        ),
        ray_address=str(content.get("ray_address", "")),
    )
