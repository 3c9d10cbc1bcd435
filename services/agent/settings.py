"""What the agent is told by its environment, beyond what every process of the mesh is told."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from automesh.mesh.settings import MeshSettings
from automesh.sdk.agent import MAX_SLOTS


class Settings(MeshSettings):
    """Settings of the agent; `--slots` and `--unsafe-sandbox` of the command line go first."""

    service: str = "agent"
    agent_name: str = Field("", description="for people; empty: the name of the machine and the instance id")
    slots: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1),
        ge=1,
        le=MAX_SLOTS,
        description="how many tasks it may hold at once; empty: one for each CPU",
    )
    unsafe_sandbox: bool = Field(False, description="run what tasks bring without isolation; never where others submit")
    work_dir: Path | None = Field(None, description="where attempts have their scratch folders; empty: state_dir/work")
    pynguin_python: Path | None = Field(
        None, description="a Python with the package pynguin (it needs an environment of its own); empty: do without"
    )
    source_roots: tuple[Path, ...] = Field((), description="folders below which a task may name a `path`, as JSON")
    task_drain_s: float = Field(7.0, ge=0, description="how long running tasks may take once the process stops")
